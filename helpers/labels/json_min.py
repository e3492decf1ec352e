"""Read the annotations of a JSON-MIN, CSV or TSV export, which has one flat row per annotation.

These formats do not mark fields as controls or as the task's own data. Every field of a task without an annotation is
data, and in JSON-MIN so is a field before the ``id``. There, a control overwrites data of the same name and keeps its
place: such a value may be the annotator's or the task's own.
"""

from typing import Any

import pandas as pd

from helpers.labels.annotations import Outcome, picks_of
from helpers.labels.fields import NOT_DATA, TAIL, UNDEFINED, choose, find_image_key, frequent
from helpers.problems import Problem

Row = dict[str, Any]


def read_rows(rows: list[Row], image_key: str, label_control: str) -> pd.DataFrame:
    """Return one annotation per row of JSON-MIN, or of a table in the same form."""
    # A million rows have few different layouts (lists of fields): look at each layout once.
    layouts = {tuple(row) for row in rows if row["annotation_id"] is not None}
    bare = {name for row in rows if row["annotation_id"] is None for name in row}
    key = find_image_key(rows, bare.union(*layouts), image_key)
    control = _find_control(rows, layouts, bare, key, label_control)
    if control:
        _refuse_regions(rows, control)

    picks = [picks_of(row.get(control)) if control else () for row in rows]
    outcome = [Outcome.ANSWERED if chosen else Outcome.EMPTY for chosen in picks]
    annotator: list[str | None] = [str(row.get("annotator") or "unknown") for row in rows]
    for number, row in enumerate(rows):
        if row["annotation_id"] is None:
            outcome[number], annotator[number] = Outcome.NOT_ANNOTATED, None
    # Build lists by column: with a million rows, an object for each row would take longer than everything else.
    columns = {
        "image": [row.get(key) or row.get(UNDEFINED) for row in rows],
        "task": [row.get("id") for row in rows],
        "outcome": outcome,
        "picks": picks,
        "annotator": annotator,
        "updated_at": [row.get("updated_at") for row in rows],
        "lead_time": [row.get("lead_time") for row in rows],
        "by_model": [row.get("lead_time") is None for row in rows],
    }
    return pd.DataFrame(columns, dtype=object)


def _find_control(rows: list[Row], layouts: set[tuple[str, ...]], bare: set[str], key: str, named: str) -> str:
    """Return the field that holds the label, or nothing; refuse a field that could also be the task's own data."""
    # Fields before the id are data, those after it are controls, where a row is as Label Studio wrote it.
    before_id: set[str] = set()
    after_id: set[str] = set()
    for layout in layouts:
        if "id" in layout and TAIL in (layout[-5:], layout[-6:-1]):
            place = layout.index("id")
            before_id.update(layout[:place])
            after_id.update(layout[place:] if place else [])
    names = bare.union(*layouts)
    # In a CSV, data of a control's name has the prefix _data_.
    fields = names - NOT_DATA - {key, UNDEFINED} - {f"_data_{name}" for name in names}

    # Only a field that holds choices, in some annotation, can be a control.
    answers = {
        name: [row[name] for row in rows if row["annotation_id"] is not None and row.get(name) is not None]
        for name in fields
    }
    counts = {name: len(values) for name, values in answers.items() if any(map(picks_of, values))}

    # Fields that are never data are the first choice; fields that are data in some rows only, the second.
    certain = {name: count for name, count in counts.items() if name not in bare | before_id}
    likely = {name: count for name, count in counts.items() if name in after_id}
    control = choose("label_control", named, frequent(certain) or frequent(likely), fields)

    # Without a control, every field that could be one is also data: otherwise it would be a candidate.
    unclear = ({control} & before_id) if control else set(counts)
    if unclear and not named:
        raise Problem(
            "The tasks' own data may have a field of the control's name: the export does not tell the two apart.",
            [f"{name}: in {len(answers[name])} annotations, such as {answers[name][0]!r}" for name in sorted(unclear)],
            "Export as JSON, or as CSV from a current Label Studio: both keep them apart. Or set label_control to the "
            "name of the control: then every value of that field in an annotation counts as chosen.",
        )
    return control if control in fields else ""


def _refuse_regions(rows: list[Row], control: str) -> None:
    """Raise a `Problem` if an annotation holds the same choice twice: only regions, listed flat here, can do so."""
    repeated = []
    for row in rows:
        answer = row.get(control)
        if isinstance(answer, list) and row["annotation_id"] is not None and 0 < len(picks_of(answer)) < len(answer):
            repeated.append(f"task {row.get('id')}: {answer}")
    if repeated:
        raise Problem(
            f"In {len(repeated)} annotations {control} holds a choice several times, as only regions can, such as:",
            repeated[:20],
            "Export as JSON, which tells the choices of regions from those of whole images.",
        )
