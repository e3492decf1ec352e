"""Read a Label Studio export: one row per image, with its label or the reason why it has none.

Whatever the format (`helpers.labels.formats`), one set of rules turns the annotations into the table of images.
"""

from collections.abc import Iterable
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.labels.formats import Outcome, make_table, read_annotations
from helpers.merge.files import file_of
from helpers.problems import Problem
from helpers.progress import progress_bar

COLUMNS = ["image", "file", "label", "status", "reason", "tasks", "annotators", "labels"]
COLUMNS += ["updated_at", "lead_time", "by_model"]
STATUSES = ("skipped", "unlabelled", "conflict", "several labels", "labelled")
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
    also where one person annotated it twice, or where it was imported twice and so has two tasks.

    Parameters
    ----------
    path : path
        The export, in UTF-8.
    image_key : str, optional
        The field of the tasks' data that holds the image. Needed where several could.
    label_control : str, optional
        The name of the ``<Choices>`` tag that holds the label. Needed where several could, and where JSON-MIN does not
        tell it from the tasks' data: then every value of that field in an annotation counts as chosen.
    on_disagreement : {'leave out', 'majority', 'latest'}
        Which annotations decide where they disagree: all, so that there is no label; those with the most frequent
        answer; or the one that was updated last. A tie, or under ``latest`` a missing time, means no label.

    Returns
    -------
    DataFrame
        One row per distinct image reference, in the order of first appearance:

        ``image`` : str
            As exported. Empty in the one row that stands for all tasks without an image.
        ``file`` : str
            What to look for on disk, percent-decoded: the stored name of an upload, else the path below the bucket,
            host or document root. Empty for ``data:`` URIs.
        ``label`` : str or None
            The class, exactly as exported. None unless ``status`` is ``labelled``.
        ``status`` : str
            ``labelled``, ``conflict``, ``several labels``, ``unlabelled`` or ``skipped``.
        ``reason`` : str or None
            Why there is no label.
        ``tasks`` : tuple of int or str
            The tasks that the status comes from.
        ``annotators`` : tuple of str
            Who annotated, an id or an e-mail address; one entry per annotation that counts.
        ``labels`` : tuple of str
            What each of ``annotators`` chose. Empty where nothing was chosen.
        ``updated_at`` : datetime64[us, UTC]
            When the last of these annotations was last updated.
        ``lead_time`` : float
            Seconds that these annotations took together.
        ``by_model`` : bool
            The label was accepted in bulk from predictions. Only JSON says so; in the other formats it is an answer
            without a lead time.

    Raises
    ------
    Problem
        The file is missing, damaged or no export, or does not say by itself which field or control to read.
    """
    if on_disagreement not in ON_DISAGREEMENT:
        raise Problem(f"on_disagreement is {on_disagreement!r}.", advice=f"Use one of: {', '.join(ON_DISAGREEMENT)}.")
    with progress_bar(3, "Reading the export", "steps") as bar:
        annotations = read_annotations(Path(path), image_key, label_control, bar.update)
        if annotations.empty:
            return make_table(dict.fromkeys(COLUMNS, ()))
        images = _images(annotations, on_disagreement)
        bar.update()
    return images


def agreement(images: pd.DataFrame) -> pd.DataFrame:
    """Count how often two annotators who labelled the same image agreed.

    Parameters
    ----------
    images : DataFrame
        What `read_export` returned.

    Returns
    -------
    DataFrame
        One row per pair: ``annotator`` and ``other`` (str), the ``images`` that both labelled (int), on how many of
        them everything that the two chose is equal (``agreed``, int), and ``share`` (float), agreed by images.
    """
    shared = images.loc[images["labels"].map(len) > 1, ["annotators", "labels"]].explode(["annotators", "labels"])
    shared = shared.rename_axis("image").reset_index()
    pairs = shared.merge(shared, on="image").query("annotators_x < annotators_y")
    pairs["alike"] = pairs["labels_x"] == pairs["labels_y"]
    alike = pairs.groupby(["annotators_x", "annotators_y", "image"])["alike"].all()
    table = alike.groupby(level=[0, 1]).agg(["size", "sum"]).reset_index()
    table.columns = pd.Index(["annotator", "other", "images", "agreed"])
    return table.assign(share=table["agreed"] / table["images"])


def lead_times(images: pd.DataFrame) -> pd.DataFrame:
    """Tell how long labelling took.

    Parameters
    ----------
    images : DataFrame
        What `read_export` returned.

    Returns
    -------
    DataFrame
        Index ``annotator``. Of the ``images`` that nobody else labelled: their number, and the ``median`` and the
        ``longest`` lead time in seconds.
    """
    alone = images[(images["annotators"].map(len) == 1) & images["lead_time"].notna()]
    times = alone["lead_time"].groupby(alone["annotators"].str[0].rename("annotator").astype(object))
    return times.agg(["size", "median", "max"]).set_axis(["images", "median", "longest"], axis=1)


def _images(annotations: pd.DataFrame, on_disagreement: str) -> pd.DataFrame:
    """Turn the table of annotations into the table of images."""
    image, images = pd.factorize(annotations["image"])
    answer, picks = pd.factorize(annotations["picks"])
    annotations = annotations.assign(image=image, answer=answer)
    outcome = annotations.groupby("image")["outcome"].max().to_numpy()
    counting = annotations[annotations["outcome"] == outcome[image]].sort_values("image", kind="stable")
    deciding = _deciding(counting, on_disagreement).groupby("image")
    lowest, highest = deciding["answer"].min().to_numpy(), deciding["answer"].max().to_numpy()

    several = np.array([len(chosen) > 1 for chosen in picks])[lowest]
    tests = [outcome == Outcome.SKIPPED, outcome != Outcome.ANSWERED, lowest != highest, several]
    status = np.array(STATUSES, dtype=object)[np.select(tests, range(4), 4)]
    labelled = status == "labelled"

    texts = np.array([", ".join(chosen) for chosen in picks], dtype=object)
    answered = counting[counting["outcome"] == Outcome.ANSWERED]
    labels = _gather(answered["image"], texts[answered["answer"]], len(images))
    reason = np.array([REASONS.get(level) for level in Outcome], dtype=object)[outcome]
    for at in np.flatnonzero(status == "conflict"):
        reason[at] = f"annotations disagree: {' | '.join(sorted(set(labels[at])))}"
    for at in np.flatnonzero(status == "several labels"):
        reason[at] = f"several classes on one image: {texts[lowest[at]]}"

    tasks = _gather(counting["image"], counting["task"], len(images))
    submitted = counting[counting["annotator"].notna()]
    by_image = counting.groupby("image")
    return make_table(
        {
            "image": images,
            "file": list(map(file_of, images.tolist())),
            "label": np.where(labelled, texts[lowest], None),
            "status": status,
            "reason": reason,
            "tasks": [numbers if len(numbers) == 1 else tuple(dict.fromkeys(numbers)) for numbers in tasks],
            "annotators": _gather(submitted["image"], submitted["annotator"], len(images)),
            "labels": labels,
            "updated_at": by_image["updated_at"].max(),
            "lead_time": by_image["lead_time"].sum(min_count=1),
            "by_model": deciding["by_model"].all() & labelled,
        }
    )


def _gather(image: pd.Series, values: Iterable[Any], count: int) -> list[tuple[Any, ...]]:
    """Return the values of each image, 0 to count - 1, as a tuple. A groupby takes a minute for a million images."""
    if np.array_equal(image, np.arange(count)):
        return list(zip(values, strict=True))
    ordered = tuple(values)
    bounds = np.searchsorted(image, np.arange(count + 1)).tolist()
    return [ordered[start:end] for start, end in pairwise(bounds)]


def _deciding(counting: pd.DataFrame, on_disagreement: str) -> pd.DataFrame:
    """Keep the annotations whose answers decide; if an image is left with two answers, it has no label."""
    image = counting["image"]
    if on_disagreement == "majority":
        votes = counting.groupby(["image", "answer"])["answer"].transform("size")
        return counting[votes == votes.groupby(image).transform("max")]
    if on_disagreement == "latest":
        updated_at = counting["updated_at"]
        undated = updated_at.isna().groupby(image).transform("any")
        return counting[undated | (updated_at == updated_at.groupby(image).transform("max"))]
    return counting
