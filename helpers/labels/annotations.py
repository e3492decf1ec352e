"""An annotation, which is the same for every format."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from helpers.labels.fields import UNDEFINED, queue_reason_of, scene_of

Picks = tuple[str, ...]  # the choices of one annotation, sorted
PATH = " / "  # joins a nested choice to its parents


class Outcome(StrEnum):
    """How an annotation ended. Of an image's annotations, only those with the last of these outcomes count."""

    NOT_ANNOTATED = "not annotated"
    SKIPPED = "skipped"
    EMPTY = "submitted without a choice"
    ANSWERED = "answered"
    NO_IMAGE = "the task has no image"


class Annotation(NamedTuple):
    """An annotation of a task, or a task without one; what the export lacks is None."""

    image: str
    task: int | str
    outcome: Outcome
    picks: Picks
    annotator: str | None
    updated_at: datetime | None  # in UTC
    lead_time: float | None  # seconds
    by_model: bool
    project: str  # the number of the server's project; empty if the export does not have it
    queue: str  # why the image was asked for; empty if the export does not say
    scene: str  # the group of images that it belongs to; empty if the export does not say
    is_truth: bool  # marked as ground truth, or accepted by the last person who reviewed it
    kept: tuple[Any, ...]  # further fields of the task's data


def make_annotation(
    data: dict[str, Any],
    key: str,
    task: object,
    entry: dict[str, Any],
    picks: Picks,
    by_model: bool,
    project: str = "",
    scene_key: str = "",
    keep: Sequence[str] = (),
) -> Annotation:
    """Make an annotation from its task's data, which hold the image under a key, and its entry in JSON.

    The entry of a task without an annotation is empty. A value may have any type. The scene, in the field `scene_key`
    of the data, and the values of the fields `keep` come along.
    """
    image = data.get(key) or data.get(UNDEFINED)
    outcome = Outcome.ANSWERED if picks else Outcome.EMPTY
    if not entry:
        outcome = Outcome.NOT_ANNOTATED
    elif entry.get("was_cancelled"):
        outcome = Outcome.SKIPPED
    if not (isinstance(image, str) and image):
        image, outcome = "", Outcome.NO_IMAGE
    if not isinstance(task, int):
        text = str(task)
        task = int(text) if text.isdecimal() and len(text) < 19 else text
    annotator = _name(entry.get("completed_by")) if entry else None
    updated_at, lead_time = _time(entry.get("updated_at")), _number(entry.get("lead_time"))
    is_truth = entry.get("ground_truth") is True or _is_accepted(entry.get("reviews"))
    queue, scene, kept = queue_reason_of(data), scene_of(data, scene_key), tuple(map(data.get, keep))
    times = updated_at, lead_time
    return Annotation(image, task, outcome, picks, annotator, *times, by_model, project, queue, scene, is_truth, kept)


def picks_of(value: object) -> Picks:
    """Return the distinct choices in a control's value: ``"a"``, ``{"choices": ["a", "b"]}`` or a list of such.

    A nested choice is a list of names, from the outermost to its own.
    """
    chosen: list[Any] = []
    for part in value if isinstance(value, list) else [value]:
        choices = part.get("choices") if isinstance(part, dict) else part
        chosen.extend(choices if isinstance(choices, list) else [choices])
    paths = [choice if isinstance(choice, list) else [choice] for choice in chosen]
    named = all(path and all(isinstance(name, str) and name for name in path) for path in paths)
    return tuple(sorted(set(map(PATH.join, paths)))) if named else ()


def leaves_of(picks: Picks) -> Picks:
    """Return nested choices without their parents."""
    return tuple(sorted({pick.rpartition(PATH)[2] for pick in picks}))


def _is_accepted(reviews: object) -> bool:
    """Whether the last of the reviews, which may be of any type, accepts the annotation."""
    known = [review for review in reviews if isinstance(review, dict)] if isinstance(reviews, list) else []
    last = max(known, key=lambda review: str(review.get("created_at")), default={})
    return last.get("accepted") is True


def _name(person: object) -> str:
    if isinstance(person, dict):
        person = person.get("email") or person.get("id")
    return str(person or "unknown")


def _time(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
