"""An annotation, which is the same for every format."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

Picks = tuple[str, ...]  # the choices of one annotation, sorted


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
    blind: bool | None  # sent without the model's opinion


def make_annotation(
    image: object, task: object, entry: dict[str, Any], picks: Picks, by_model: bool, blind: bool | None
) -> Annotation:
    """Make an annotation from its entry in JSON, empty for a task without one; a value may have any type."""
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
    return Annotation(image, task, outcome, picks, annotator, updated_at, lead_time, by_model, blind)


def picks_of(value: object) -> Picks:
    """Return the distinct choices in a control's value: ``"a"``, ``{"choices": ["a", "b"]}`` or a list of such."""
    chosen: list[Any] = []
    for part in value if isinstance(value, list) else [value]:
        choices = part.get("choices") if isinstance(part, dict) else part
        chosen.extend(choices if isinstance(choices, list) else [choices])
    return tuple(sorted(set(chosen))) if all(isinstance(choice, str) and choice for choice in chosen) else ()


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
