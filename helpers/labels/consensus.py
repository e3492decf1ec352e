"""Reduce one row per annotation to one row per image, with its label or the reason why it has none."""

from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.labels.annotations import Outcome
from helpers.labels.fields import file_of
from helpers.labels.formats import read_annotations
from helpers.problems import require_choice
from helpers.progress import progress_bar

ON_DISAGREEMENT = ("leave out", "majority", "latest")
REASONS = {
    Outcome.NOT_ANNOTATED: "not annotated",
    Outcome.SKIPPED: "skipped",
    Outcome.EMPTY: "submitted without a choice",
    Outcome.NO_IMAGE: "the task has no image",
}


def read_export(
    path: str | PathLike[str], *, image_key: str = "", label_control: str = "", on_disagreement: str = "leave out"
) -> pd.DataFrame:
    """Read a Label Studio export in JSON, JSON-MIN, CSV or TSV, told apart by its content.

    Skipped annotations and those without a choice never count. All others of an image must agree on exactly one class,
    even if one person annotated the image twice, or if it has two tasks.

    Parameters
    ----------
    image_key : str, optional
        The field of the tasks' data that holds the image; required if several fields could.
    label_control : str, optional
        The name of the ``<Choices>`` tag that holds the label; required if several could, or if JSON-MIN does not tell
        it from the tasks' data. In the latter case every value of that field in an annotation counts as chosen.
    on_disagreement : {'leave out', 'majority', 'latest'}
        Whether annotations that disagree give no label, the most frequent answer, or the one that was updated last. A
        tie means no label; so does a missing time under ``latest``.

    Returns
    -------
    DataFrame
        One row per distinct image reference, in the order of first appearance:

        - ``image`` (str): as exported; empty in the one row that stands for all tasks without an image.
        - ``file`` (str): the name to look for on disk, from `helpers.labels.fields.file_of`.
        - ``label`` (str or None): the class, exactly as exported; None unless ``status`` is ``labelled``.
        - ``status`` (str): ``labelled``, ``conflict``, ``several labels``, ``unlabelled`` or ``skipped``.
        - ``reason`` (str or None): why there is no label.
        - ``tasks`` (tuple of int or str): the tasks that the status comes from.
        - ``annotators`` (tuple of str): an id or an e-mail address for each annotation that counts.
        - ``labels`` (tuple of str): the choice of each annotator; empty if nothing was chosen.
        - ``updated_at`` (datetime64[us, UTC]): when the last of these annotations was last updated.
        - ``lead_time`` (float): seconds that these annotations took together.
        - ``by_model`` (bool): the label was accepted in bulk from predictions. Only JSON records this; in the other
          formats, an answer without a lead time counts as accepted in bulk.

    Raises
    ------
    Problem
        The file is missing, damaged or no export, or does not show by itself which field or control to read.
    """
    require_choice("on_disagreement", on_disagreement, ON_DISAGREEMENT)
    with progress_bar(3, "Reading the export", "steps") as bar:
        images = _settle(read_annotations(Path(path), image_key, label_control, bar.update), on_disagreement)
        bar.update()
    return images


def _settle(annotations: pd.DataFrame, on_disagreement: str) -> pd.DataFrame:
    """Turn the table of annotations into the table of images."""
    # Replace images and answers by numbers: with a million rows, texts and tuples take too long.
    image, images = pd.factorize(annotations["image"])
    answer, answers = pd.factorize(annotations["picks"])
    annotations = annotations.assign(image=image, answer=answer)

    # Of an image's annotations those with the highest outcome count: a label more than a skip.
    outcome = annotations.groupby("image")["outcome"].max()
    counting = annotations[annotations["outcome"] == annotations["image"].map(outcome)]
    by_image = counting.groupby("image")

    # An image has a label if all deciding annotations give the same answer, of one class.
    deciding = _find_deciding(counting, on_disagreement).groupby("image")
    first, last = deciding["answer"].min(), deciding["answer"].max()
    texts = pd.Series([", ".join(picks) for picks in answers], dtype=object)
    chosen = first.map(texts)
    status = pd.Series("labelled", index=outcome.index, dtype=object)
    status[first.map(pd.Series(map(len, answers), dtype=object)) > 1] = "several labels"
    status[first != last] = "conflict"
    status[outcome != Outcome.ANSWERED] = "unlabelled"
    status[outcome == Outcome.SKIPPED] = "skipped"
    labelled = status == "labelled"

    # Give a reason for each image without a label.
    answered = counting[counting["outcome"] == Outcome.ANSWERED]
    labels = _gather(answered["image"], answered["answer"].map(texts), len(images))
    reason = outcome.map(REASONS).astype(object).where(outcome != Outcome.ANSWERED, None)
    for number in status.index[status == "conflict"]:
        reason[number] = f"annotations disagree: {' | '.join(sorted(set(labels[number])))}"
    for number in status.index[status == "several labels"]:
        reason[number] = f"several classes on one image: {chosen[number]}"

    # Gather the tasks and annotators of each image, and build the table.
    submitted = counting[counting["annotator"].notna()]
    tasks = _gather(counting["image"], counting["task"], len(images))
    return pd.DataFrame(
        {
            "image": pd.Series(images, dtype=object),
            "file": pd.Series(map(file_of, images), dtype=object),
            "label": chosen.astype(object).where(labelled, None),
            "status": status,
            "reason": reason,
            "tasks": pd.Series([tuple(dict.fromkeys(numbers)) for numbers in tasks], dtype=object),
            "annotators": pd.Series(_gather(submitted["image"], submitted["annotator"], len(images)), dtype=object),
            "labels": pd.Series(labels, dtype=object),
            "updated_at": by_image["updated_at"].max(),
            "lead_time": by_image["lead_time"].sum(min_count=1),
            "by_model": deciding["by_model"].all() & labelled,
        }
    )


def _find_deciding(counting: pd.DataFrame, on_disagreement: str) -> pd.DataFrame:
    """Keep the annotations whose answers decide. If they still give an image two answers, it gets no label."""
    image = counting["image"]
    if on_disagreement == "majority":
        votes = counting.groupby(["image", "answer"])["answer"].transform("size")
        return counting[votes == votes.groupby(image).transform("max")]
    if on_disagreement == "latest":
        updated_at = counting["updated_at"]
        undated = updated_at.isna().groupby(image).transform("any")
        return counting[undated | (updated_at == updated_at.groupby(image).transform("max"))]
    return counting


def _gather(image: pd.Series, values: pd.Series, count: int) -> list[tuple[Any, ...]]:
    """Return the values of each image, 0 to count - 1, as a tuple. A groupby takes a minute for a million images."""
    order = np.argsort(image.to_numpy(), kind="stable")
    ordered = tuple(values.to_numpy()[order])
    bounds = np.searchsorted(image.to_numpy()[order], np.arange(count + 1)).tolist()  # of the values of each image
    return [ordered[start:end] for start, end in pairwise(bounds)]
