"""Reduce one row per annotation to one row per image, with its label or the reason why it has none."""

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.labels.annotations import Annotation, Outcome, leaves_of
from helpers.labels.fields import file_of
from helpers.labels.formats import read_annotations
from helpers.problems import Problem, require_choice
from helpers.progress import progress_bar

ON_DISAGREEMENT = ("leave out", "majority", "latest", "ground truth")
NESTED_CHOICES = ("path", "leaf")
TYPES = {"updated_at": "datetime64[us, UTC]", "lead_time": "float64", "by_model": "bool"}
COLUMNS = ["image", "file", "label", "status", "reason", "tasks", "annotators", "labels", "truths", *TYPES]
COLUMNS += ["project", "queue", "scene"]


def read_export(
    path: str | PathLike[str],
    *,
    image_key: str = "",
    label_control: str = "",
    scene_key: str = "",
    nested_choices: str = "path",
    on_disagreement: str = "leave out",
    keep: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a Label Studio export in JSON, JSON-MIN, CSV or TSV, told apart by its content.

    Skipped annotations and those without a choice never count. All others of an image must agree on exactly one class,
    even if one person annotated the image twice, or if it has two tasks. A `Problem` tells that the file is missing,
    damaged or not an export, that its image field or its label control is ambiguous, or that it has no `scene_key`.

    docs/settings.md describes the options. Where JSON-MIN does not tell the control from the tasks' data, every value
    of the field `label_control` in an annotation counts as chosen. Only JSON records ground truth, and accepted
    reviews, which count as ground truth. A tie gives no label, and so does a missing time under ``latest``.

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
        - ``truths`` (tuple of bool): for each of ``labels``, whether it is ground truth or was accepted in a review.
        - ``updated_at`` (datetime64[us, UTC]): when the last of these annotations was last updated.
        - ``lead_time`` (float): seconds that these annotations took together.
        - ``by_model`` (bool): the label was accepted in bulk from predictions. Only JSON records this; in the other
          formats, an answer without a lead time counts as accepted in bulk.
        - ``project`` (str): the number of the server's project. Only JSON records this: the number in an upload's path
          is that of the project which the file was uploaded to, and its tasks may have been copied since. Empty if it
          is unknown.
        - ``queue`` (str): why the image was asked for, ``chance`` or ``least certain``, as the field ``queue_reason``
          of the tasks' data says; empty if it says neither, or differs between annotations.
        - ``scene`` (str): the group of images that this one belongs to, as the field `scene_key` of the tasks' data
          says. If an image has tasks of several scenes, it is the first; empty if there is none.
        - a column for each field of the tasks' data that `keep` names: its value; None if it is missing, or differs
          between annotations. Where tasks come from a queue, such a field is never taken for the image or a control.
    """
    require_choice("on_disagreement", on_disagreement, ON_DISAGREEMENT)
    require_choice("nested_choices", nested_choices, NESTED_CHOICES)
    keep = list(dict.fromkeys(keep))  # a cell of the notebook may have been run twice
    if taken := sorted(set(keep) & set(COLUMNS)):
        raise Problem(f"Fields to keep have names of columns: {', '.join(taken)}.", advice="Name other fields.")
    if scene_key and scene_key in (image_key, label_control):
        raise Problem(
            f"scene_key names {scene_key!r}, which is another field's name, too.", advice="Name other fields."
        )
    by_image: dict[str, list[Annotation]] = {}
    for annotation in read_annotations(Path(path), image_key, label_control, scene_key, keep):
        if nested_choices == "leaf":
            annotation = annotation._replace(picks=leaves_of(annotation.picks))
        by_image.setdefault(annotation.image, []).append(annotation)
    images = progress_bar(len(by_image), "Reading labels", items=by_image.items())
    rows = [_settle(image, annotations, on_disagreement, keep) for image, annotations in images]
    return pd.DataFrame(rows, columns=[*COLUMNS, *keep], dtype=object).astype(TYPES)


def _settle(image: str, annotations: list[Annotation], on_disagreement: str, keep: Sequence[str]) -> dict[str, Any]:
    """Reduce all annotations of an image to its row in the table."""
    outcome = max((annotation.outcome for annotation in annotations), key=list(Outcome).index)
    counting = [annotation for annotation in annotations if annotation.outcome == outcome]
    answered = counting if outcome == Outcome.ANSWERED else []
    labels = tuple(", ".join(annotation.picks) for annotation in answered)
    seconds = [annotation.lead_time for annotation in counting if annotation.lead_time is not None]

    # An image has a label if all deciding annotations give the same answer, of one class.
    deciding = _find_deciding(counting, on_disagreement)
    answers = {annotation.picks for annotation in deciding}
    label = None
    if outcome != Outcome.ANSWERED:
        status = "skipped" if outcome == Outcome.SKIPPED else "unlabelled"
        reason: str | None = outcome.value
    elif len(answers) > 1:
        status, reason = "conflict", f"annotations disagree: {' | '.join(sorted(set(labels)))}"
    elif len(deciding[0].picks) > 1:
        status, reason = "several labels", f"several classes on one image: {', '.join(deciding[0].picks)}"
    else:
        label, status, reason = deciding[0].picks[0], "labelled", None
    kept = zip(*(annotation.kept for annotation in deciding), strict=True)
    return {
        "image": image,
        "file": file_of(image),
        "label": label,
        "status": status,
        "reason": reason,
        "tasks": tuple(dict.fromkeys(annotation.task for annotation in counting)),
        "annotators": tuple(annotation.annotator for annotation in counting if annotation.annotator),
        "labels": labels,
        "truths": tuple(annotation.is_truth for annotation in answered),
        "updated_at": max((annotation.updated_at for annotation in counting if annotation.updated_at), default=None),
        "lead_time": sum(seconds) if seconds else None,
        "by_model": label is not None and all(annotation.by_model for annotation in deciding),
        "project": _common([annotation.project for annotation in deciding]) or "",
        "queue": _common([annotation.queue for annotation in deciding]) or "",
        "scene": next((annotation.scene for annotation in annotations if annotation.scene), ""),
        **{name: _common(values) for name, values in zip(keep, kept, strict=True)},
    }


def _common(values: Sequence[Any]) -> Any:
    """Return the value that all annotations have; None if they differ. A value may have any type."""
    return values[0] if all(value == values[0] for value in values) else None


def _find_deciding(counting: list[Annotation], on_disagreement: str) -> list[Annotation]:
    """Keep the annotations whose answers decide. If they still give an image two answers, it gets no label."""
    if on_disagreement == "majority":
        votes = Counter(annotation.picks for annotation in counting)
        most = max(votes.values())
        return [annotation for annotation in counting if votes[annotation.picks] == most]
    if on_disagreement == "latest":
        # None stands for a time that is not known: then nobody knows which annotation is the latest.
        times = {annotation.updated_at for annotation in counting}
        latest = None if None in times else max(filter(None, times))
        return [annotation for annotation in counting if latest in (None, annotation.updated_at)]
    if on_disagreement == "ground truth":
        return [annotation for annotation in counting if annotation.is_truth] or counting
    return counting
