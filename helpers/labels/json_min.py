"""Read the annotations of a JSON-MIN, CSV or TSV export, which has one flat row per annotation.

These formats do not mark fields as controls or as the task's own data. Every field of a task without an annotation is
data, and in JSON-MIN so is a field before the ``id``. There, a control overwrites data of the same name and keeps its
place: such a value may be the annotator's or the task's own.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from helpers.labels.annotations import Annotation, make_annotation, picks_of
from helpers.labels.fields import (
    NOT_DATA,
    QUEUE,
    QUEUE_REASON,
    QUEUED_BY,
    SCENE,
    TAIL,
    UNDEFINED,
    choose,
    find_image_key,
    frequent,
    refuse_controls,
    require_scene_key,
)
from helpers.problems import Problem

Row = dict[str, Any]


def read_rows(
    rows: list[Row], image_key: str, label_control: str, scene_key: str, keep: Sequence[str]
) -> Iterator[Annotation]:
    """Read the annotation of each row of JSON-MIN, or of a table in the same form; see `make_annotation`."""
    require_scene_key(rows, scene_key)
    names: set[str] = set().union(*rows)
    # In a CSV, data of a control's name has the prefix _data_.
    scene_key = f"_data_{scene_key}" if f"_data_{scene_key}" in names else scene_key
    names -= {scene_key}
    # With its place in a queue, a task has these in its data: a CSV has them as text, like the answers of a control.
    if {QUEUE, QUEUED_BY} <= names:
        names -= {QUEUE, QUEUE_REASON, QUEUED_BY, SCENE, *keep} - {image_key, label_control}
    key = find_image_key(rows, names, image_key)
    fields = names - NOT_DATA - {key, UNDEFINED} - {f"_data_{name}" for name in names}
    field = _find_label_field(rows, fields, label_control)
    nested = _is_nested([row.get(field) for row in rows if row["annotation_id"] is not None])
    repeated = []
    for row in rows:
        answer = row.get(field) if field else None
        listed = answer if isinstance(answer, list) and all(isinstance(choice, str) for choice in answer) else []
        picks = picks_of({"choices": [listed]} if nested and listed else answer)
        entry = {}
        if row["annotation_id"] is not None:
            entry = {"completed_by": row["annotator"], "updated_at": row["updated_at"], "lead_time": row["lead_time"]}
            # Only regions, listed flat here, can give the same choice twice.
            if len(set(listed)) < len(listed):
                repeated.append(f"task {row.get('id')}: {answer}")
        by_model = row["lead_time"] is None
        yield make_annotation(row, key, row.get("id"), entry, picks, by_model, "", scene_key, keep)
    if repeated:
        raise Problem(
            f"In {len(repeated)} annotations {field} holds a choice several times, as only regions can.",
            repeated,
            "Export as JSON, which tells the choices of regions from those of whole images.",
        )


def _is_nested(answers: list[Any]) -> bool:
    """Whether a list of names is the path of one nested choice: where choices are not nested, some are no lists."""
    several = [answer.get("choices") for answer in answers if isinstance(answer, dict)]
    choices = [*answers, *chain.from_iterable(choices for choices in several if isinstance(choices, list))]
    return not any(isinstance(choice, str) for choice in choices)


def _lists_objects(answer: object) -> bool:
    return isinstance(answer, list) and any(isinstance(part, dict) for part in answer)


def _find_label_field(rows: list[Row], fields: set[str], named: str) -> str:
    """Return the field that holds the label, or nothing; refuse a field that could also be the task's own data."""
    annotated = [row for row in rows if row["annotation_id"] is not None]
    bare = {name for row in rows if row["annotation_id"] is None for name in row}
    # Fields before the id are data, those after it are controls, where a row is as Label Studio wrote it.
    before_id: set[str] = set()
    after_id: set[str] = set()
    for layout in {tuple(row) for row in annotated}:  # a million rows have few different ones
        if "id" in layout[1:] and TAIL in (layout[-5:], layout[-6:-1]):
            place = layout.index("id")
            before_id.update(layout[:place])
            after_id.update(layout[place:])

    # Only a field that holds choices, in some annotation, can be a control.
    answers = {name: [row[name] for row in annotated if row.get(name) is not None] for name in fields}
    counts = {name: len(values) for name, values in answers.items() if any(map(picks_of, values))}

    # Controls of other kinds, but for text, give lists of objects.
    others = {name for name in set(answers) - bare - before_id if any(map(_lists_objects, answers[name]))}
    if others and not counts:
        refuse_controls(others)

    # Fields that are never data are the first choice; fields that are data in some rows only, the second.
    certain = {name: count for name, count in counts.items() if name not in bare | before_id}
    likely = {name: count for name, count in counts.items() if name in after_id}
    field = choose("label_control", named, frequent(certain) or frequent(likely), fields)

    # Without a control, every field that could be one is also data: otherwise it would be a candidate.
    unclear = ({field} & before_id) if field else set(counts)
    if unclear and not named:
        raise Problem(
            "The tasks' own data may have a field of the control's name: the export does not tell the two apart.",
            [f"{name}: in {len(answers[name])} annotations, such as {answers[name][0]!r}" for name in sorted(unclear)],
            "Export as JSON, or as CSV from a current Label Studio: both keep them apart. Or set label_control to the "
            "name of the control: then every value of that field in an annotation counts as chosen.",
        )
    return field if field in fields else ""
