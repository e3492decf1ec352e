"""Read the annotations of a JSON export, whose tasks keep their data and their annotations apart."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd

from helpers.labels.annotations import COLUMNS, Outcome, picks_of
from helpers.labels.fields import UNDEFINED, choose, find_image_key
from helpers.problems import Problem


def read_tasks(tasks: list[dict[str, Any]], image_key: str, label_control: str) -> pd.DataFrame:
    """Return a row for each annotation, and one for each task without annotations."""
    data = [task["data"] for task in tasks]
    key = find_image_key(data, set().union(*data), image_key)
    control = _find_control(tasks, label_control)
    rows: list[tuple[object, ...]] = []
    for task in tasks:
        image, number = task["data"].get(key) or task["data"].get(UNDEFINED), task.get("id")
        if not task["annotations"]:
            rows.append((image, number, Outcome.NOT_ANNOTATED, (), None, None, None, False))
        for entry in task["annotations"]:
            # A choice that belongs to a region is no label of the whole image.
            choices = [choice for choice in _choices(entry) if choice["from_name"] == control]
            picks = picks_of([choice["value"] for choice in choices if not _in_region(choice)])
            outcome = Outcome.ANSWERED if picks else Outcome.EMPTY
            if entry.get("was_cancelled"):
                outcome = Outcome.SKIPPED
            who, when, seconds = _person(entry.get("completed_by")), entry.get("updated_at"), entry.get("lead_time")
            by_model = seconds is None and entry.get("parent_prediction") is not None
            rows.append((image, number, outcome, picks, who, when, seconds, by_model))
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _find_control(tasks: list[dict[str, Any]], label_control: str) -> str:
    submitted = [entry for task in tasks for entry in task["annotations"] if not entry.get("was_cancelled")]
    choices = [choice for entry in submitted for choice in _choices(entry)]
    controls = sorted({choice["from_name"] for choice in choices if not _in_region(choice)})
    regional = Counter(choice["from_name"] for choice in choices if _in_region(choice))
    control = choose("label_control", label_control, controls, [*controls, *regional])
    if regional and control not in controls:
        raise Problem(
            "The choices belong to regions of the images, such as boxes, and are no labels of whole images.",
            [f"{name}: {count} choices of regions" for name, count in sorted(regional.items())],
            'Label images with a <Choices> without perRegion="true"; if there is one, set label_control to its name.',
        )
    return control


def _choices(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    results = entry.get("result")
    for result in results if isinstance(results, list) else []:
        if not (isinstance(result, dict) and isinstance(result.get("from_name"), str)):
            continue
        if isinstance(result.get("value"), dict) and "choices" in result["value"]:
            yield result


def _in_region(choice: dict[str, Any]) -> bool:
    # The value of a box, polygon, brush or key point holds its place beside the choices.
    return len(choice["value"]) > 1


def _person(who: object) -> str:
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return "unknown" if who is None else str(who)
