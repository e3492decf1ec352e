"""The table of annotations, which is the same for every format."""

from enum import IntEnum
from typing import Any

import pandas as pd

COLUMNS = ["image", "task", "outcome", "picks", "annotator", "updated_at", "lead_time", "by_model"]
Picks = tuple[str, ...]  # the choices of one annotation, sorted


class Outcome(IntEnum):
    """How an annotation ended. Of an image's annotations, those with the highest outcome count."""

    NOT_ANNOTATED = 0
    SKIPPED = 1
    EMPTY = 2
    ANSWERED = 3
    NO_IMAGE = 4


def clean(annotations: pd.DataFrame) -> pd.DataFrame:
    """Give each column of a table of annotations its type. Values of an unexpected type become missing."""
    images = [image if isinstance(image, str) else "" for image in annotations["image"].tolist()]
    dates = [text if isinstance(text, str) else None for text in annotations["updated_at"].tolist()]
    updated_at = pd.to_datetime(
        pd.Series(dates, dtype=object), utc=True, format="ISO8601", errors="coerce", cache=False
    )
    annotations = annotations.assign(
        image=pd.Series(images, dtype=object),
        task=pd.Series(map(_number, annotations["task"].tolist()), dtype=object),
        outcome=annotations["outcome"].astype("int64"),
        updated_at=updated_at.astype("datetime64[us, UTC]"),
        lead_time=pd.to_numeric(annotations["lead_time"], errors="coerce").astype("float64"),
        by_model=annotations["by_model"].astype(bool),
    )
    annotations.loc[annotations["image"] == "", "outcome"] = int(Outcome.NO_IMAGE)
    return annotations


def picks_of(value: object) -> Picks:
    """Return the distinct choices in a control's value: ``"a"``, ``{"choices": ["a", "b"]}`` or a list of such."""
    if isinstance(value, str):
        return (value,) if value else ()
    chosen: list[Any] = []
    for part in value if isinstance(value, list) else [value]:
        choices = part.get("choices") if isinstance(part, dict) else part
        chosen.extend(choices if isinstance(choices, list) else [choices])
    return tuple(sorted(set(chosen))) if all(isinstance(choice, str) and choice for choice in chosen) else ()


def _number(task: object) -> int | str:
    if isinstance(task, int):
        return task
    text = str(task)
    return int(text) if text.isdecimal() and len(text) < 19 else text
