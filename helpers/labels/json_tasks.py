"""Read the annotations of a JSON export, whose tasks keep their data and their annotations apart."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from helpers.labels.annotations import Annotation, make_annotation, picks_of
from helpers.labels.fields import choose, find_image_key, refuse_controls, require_scene_key
from helpers.problems import Problem


def read_tasks(
    tasks: list[dict[str, Any]], image_key: str, label_control: str, scene_key: str, keep: Sequence[str]
) -> Iterator[Annotation]:
    """Read the annotations of each task, with its scene and the fields `keep` of its data."""
    data = [task["data"] for task in tasks]
    require_scene_key(data, scene_key)
    key = find_image_key(data, set().union(*data) - {scene_key, *keep}, image_key)
    control = _find_label_control(tasks, label_control)
    for task in tasks:
        number = task.get("project")
        project = str(number) if isinstance(number, int) else ""
        for entry in task["annotations"] or [{}]:
            results = [result for result in _results(entry) if result["from_name"] == control]
            picks = picks_of([result["value"] for result in results if _labels_image(result)])
            by_model = entry.get("lead_time") is None and entry.get("parent_prediction") is not None
            yield make_annotation(task["data"], key, task.get("id"), entry, picks, by_model, project, scene_key, keep)


def _find_label_control(tasks: list[dict[str, Any]], label_control: str) -> str:
    submitted = [entry for task in tasks for entry in task["annotations"] if not entry.get("was_cancelled")]
    results = [result for entry in submitted for result in _results(entry)]
    choices = [result for result in results if "choices" in result["value"]]
    if results and not choices:
        refuse_controls({f"{result['from_name']} ({result.get('type')})" for result in results})
    controls = sorted({choice["from_name"] for choice in choices if _labels_image(choice)})
    regional = Counter(choice["from_name"] for choice in choices if not _labels_image(choice))
    control = choose("label_control", label_control, controls, [*controls, *regional])
    if regional and control not in controls:
        raise Problem(
            "The choices belong to regions of the images, such as boxes, and are no labels of whole images.",
            [f"{name}: {count} choices of regions" for name, count in sorted(regional.items())],
            'Label images with a <Choices> without perRegion="true"; if there is one, set label_control to its name.',
        )
    return control


def _results(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results of an annotation that controls gave."""
    results = entry.get("result")
    known = [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []
    return [x for x in known if isinstance(x.get("from_name"), str) and isinstance(x.get("value"), dict)]


def _labels_image(result: dict[str, Any]) -> bool:
    """Whether it is a choice for the whole image: one for a box, polygon, brush or key point has its place, too."""
    return result["value"].keys() == {"choices"}
