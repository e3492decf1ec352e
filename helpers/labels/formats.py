"""The formats of Label Studio's exports: whatever the format, one row per annotation.

What the formats look like was read from label-studio-sdk 2.1.2 (``converter/converter.py``, ``exports/csv2.py``).
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from helpers.problems import Problem

# What an image reference looks like, the surest first. The next is tried where no field has such a value.
SUFFIX = r"\.(jpe?g|png|webp|bmp|tiff?|gif)"
IMAGE_REFERENCES = (
    rf"^data:image/|/data/(upload|local-files)/|^(s3|gs|azure[\w-]*)://|/[^/?#]*{SUFFIX}([?#]|$)",
    r"^https?://",
    rf"{SUFFIX}$",
)
# The image's key in files that were uploaded before the project had a labelling configuration.
UNDEFINED = "$undefined$"
# A JSON-MIN row is the task's data, its id, the controls, and these. A CSV has the same columns, sorted.
TAIL = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")
# The nameless column is the index that pandas writes into a CSV.
NOT_DATA = {"", "id", "agreement", "history", *TAIL}

Picks = tuple[str, ...]


class Outcome(IntEnum):
    """What one annotation says. An image's highest outcome counts, its annotations with a lower one do not."""

    NOT_ANNOTATED = 0
    SKIPPED = 1
    EMPTY = 2
    ANSWERED = 3
    NO_IMAGE = 4


def read_annotations(path: Path, image_key: str, label_control: str, after_step: Callable[[], object]) -> pd.DataFrame:
    """Read every annotation of an export, and every task that has none, in the order of the file.

    Parameters
    ----------
    path : Path
        JSON, JSON-MIN, CSV or TSV, in UTF-8, told apart by its content.
    image_key, label_control : str
        As `helpers.labels.consensus.read_export` takes them.
    after_step : callable
        Called when the file is parsed, and when its annotations are found.

    Returns
    -------
    DataFrame
        ``image`` (str), ``task`` (int or str), ``outcome`` (an `Outcome`), ``picks`` (tuple of str, sorted),
        ``annotator`` (str or None), ``updated_at`` (datetime64[us, UTC]), ``lead_time`` (float, seconds) and
        ``by_model`` (bool).

    Raises
    ------
    Problem
        The file is missing, damaged or no export, or does not say by itself which field or control to read.
    """
    rows = _load(path)
    after_step()
    if not rows:
        return _annotations(*([[]] * 8))
    read = _read_minimal if _is_minimal(rows[0]) else _read_tasks
    annotations = read(rows, image_key, label_control)
    after_step()
    return annotations


def _load(path: Path) -> list[Any]:
    """Read the entries of a JSON export, or those of a JSON-MIN export, which CSV is made to look like."""
    again = "Export again from Label Studio, as JSON, JSON-MIN, CSV or TSV."
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise Problem(f"The export {path} cannot be read: {error.strerror}.", advice="Check its path.") from None
    if not content.strip():
        raise Problem(f"The export {path} is empty.", advice=again)
    try:
        rows = orjson.loads(content) if content.lstrip()[:1] in (b"[", b"{") else _parse_csv(content.decode())
    except UnicodeDecodeError as error:
        raise Problem(f"The export {path} is no text in UTF-8: {error}.", advice=again) from None
    except (orjson.JSONDecodeError, csv.Error) as error:
        raise Problem(f"The export {path} is damaged or cut off: {error}.", advice=again) from None
    if not isinstance(rows, list):
        what = f"an object with {', '.join(map(repr, list(rows)[:5]))}"
        raise Problem(f"{path} is no export of Label Studio but {what}.", advice=again)
    fits = _is_minimal if rows and _is_minimal(rows[0]) else _is_task
    misfits = [number for number, row in enumerate(rows, start=1) if not fits(row)]
    if misfits:
        shown = [f"entry {number}: {str(rows[number - 1])[:80]}" for number in misfits[:20]]
        raise Problem(f"{path} has {len(misfits)} entries that are no task of Label Studio, such as:", shown, again)
    return rows


def _parse_csv(text: str) -> list[dict[str, object]]:
    first = text.partition("\n")[0].strip().replace('"', "")
    separator = next((mark for mark in ",\t;" if "annotation_id" in first.split(mark)), None)
    if separator is None:
        raise csv.Error("neither JSON nor a table with a column annotation_id")
    # A picture in a data: URI is longer than the 128 KiB that a cell may have by default.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header = next(reader)
    if len(set(header)) < len(header):
        raise csv.Error("two columns have the same name")
    rows = []
    for cells in filter(None, reader):
        if len(cells) != len(header):
            raise csv.Error(f"line {reader.line_num} has {len(cells)} cells instead of {len(header)}")
        filled = {name: _cell(cell) for name, cell in zip(header, cells, strict=True) if cell}
        rows.append({"annotation_id": None} | filled)
    return rows


def _cell(text: str) -> object:
    try:
        return orjson.loads(text) if text.startswith(("{", "[")) else text
    except orjson.JSONDecodeError:
        return text


def _is_minimal(row: object) -> bool:
    return isinstance(row, dict) and "annotation_id" in row


def _is_task(row: object) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("data"), dict)
        and isinstance(row.get("annotations"), list)
        and all(isinstance(annotation, dict) for annotation in row["annotations"])
    )


def _read_tasks(tasks: list[dict[str, Any]], image_key: str, label_control: str) -> pd.DataFrame:
    """Return a row for each annotation of a JSON export, and for each task that has none."""
    data = [task["data"] for task in tasks]
    key = _find_image_key(data, set().union(*data), image_key)
    submitted = [entry for task in tasks for entry in task["annotations"] if not entry.get("was_cancelled")]
    choices = [result for entry in submitted for result in _choices(entry)]
    controls = sorted({result["from_name"] for result in choices if not _in_region(result)})
    regional = Counter(result["from_name"] for result in choices if _in_region(result))
    control = _choose("label_control", label_control, controls, [*controls, *regional])
    if regional and control not in controls:
        raise Problem(
            "The choices belong to regions of the images, such as boxes, and are no labels of whole images.",
            [f"{name}: {count} choices of regions" for name, count in sorted(regional.items())],
            'Label images with a <Choices> without perRegion="true"; if there is one, set label_control to its name.',
        )
    rows: list[tuple[object, ...]] = []
    for task in tasks:
        image = task["data"].get(key) or task["data"].get(UNDEFINED)
        if not task["annotations"]:
            rows.append((image, task.get("id"), Outcome.NOT_ANNOTATED, (), None, None, None, False))
        for entry in task["annotations"]:
            chosen = [result for result in _choices(entry) if result["from_name"] == control]
            picks = _picks([result["value"] for result in chosen if not _in_region(result)])
            outcome = Outcome.ANSWERED if picks else Outcome.EMPTY
            if entry.get("was_cancelled"):
                outcome = Outcome.SKIPPED
            who, when, lead_time = _person(entry.get("completed_by")), entry.get("updated_at"), entry.get("lead_time")
            by_model = lead_time is None and entry.get("parent_prediction") is not None
            rows.append((image, task.get("id"), outcome, picks, who, when, lead_time, by_model))
    return _annotations(*zip(*rows, strict=True))


def _choices(entry: dict[str, Any]) -> list[dict[str, Any]]:
    results = entry.get("result")
    return [
        result
        for result in (results if isinstance(results, list) else [])
        if isinstance(result, dict)
        and isinstance(result.get("from_name"), str)
        and isinstance(result.get("value"), dict)
        and "choices" in result["value"]
    ]


def _in_region(result: dict[str, Any]) -> bool:
    # The value of a box, polygon, brush or key point holds its place beside the choices.
    return len(result["value"]) > 1


def _read_minimal(rows: list[dict[str, Any]], image_key: str, label_control: str) -> pd.DataFrame:
    """Return a row for each row of a JSON-MIN export, or of a CSV made to look like it.

    These formats do not say which fields are controls. A field of a task without an annotation is data, and so is in
    JSON-MIN what stands before the ``id``. There a control of the same name is written over the data and keeps its
    place: whether the value is the annotator's or the task's own cannot be told, unless `label_control` decides it.
    """
    annotated = [row["annotation_id"] is not None for row in rows]
    bare = {tuple(row) for row in rows if row["annotation_id"] is None}
    before_id = {row: _before_id(row) for row in set(map(tuple, compress(rows, annotated)))}
    after_id = {name for row, before in before_id.items() if before for name in row if name not in before}
    names: set[str] = set().union(*before_id, *bare)
    key = _find_image_key(rows, names, image_key)
    fields = names - NOT_DATA - {key, UNDEFINED} - {f"_data_{name}" for name in names}

    values = {name: [row.get(name) for row in rows] for name in fields}
    filled = {name: [value for value in compress(values[name], annotated) if value is not None] for name in fields}
    counts = {name: len(filled[name]) for name in fields if any(map(_picks, filled[name]))}
    certain = fields.difference(*bare, *before_id.values())
    candidates = _frequent(counts, certain) or _frequent(counts, fields & after_id)
    control = _choose("label_control", label_control, candidates, fields)
    # Without a control, every field that could be one is also data: otherwise it would be a candidate.
    unclear = {control}.intersection(set().union(*before_id.values())) if control else set(counts)
    if unclear and not label_control:
        raise Problem(
            "The tasks' own data may have a field of the control's name: the export does not tell the two apart.",
            [f"{name}: in {len(filled[name])} annotations, such as {filled[name][0]!r}" for name in sorted(unclear)],
            "Export as JSON, or as CSV from a current Label Studio: both keep them apart. Or set label_control to the "
            "name of the control: then every value of that field in an annotation counts as chosen.",
        )

    picks = list(map(_picks, values.get(control, [None] * len(rows))))
    # Several answers of one control are written as a list. These formats show nothing else of a region.
    repeated = [
        f"task {row.get('id')}: {row[control]}"
        for at, row in enumerate(rows)
        if annotated[at] and isinstance(row.get(control), list) and 0 < len(picks[at]) < len(row[control])
    ]
    if repeated:
        raise Problem(
            f"In {len(repeated)} annotations {control} holds a choice several times, as only regions can, such as:",
            repeated[:20],
            "Export as JSON, which tells the choices of regions from those of whole images.",
        )
    outcome = np.select(
        [np.invert(annotated), np.fromiter(map(bool, picks), bool)],
        [Outcome.NOT_ANNOTATED, Outcome.ANSWERED],
        Outcome.EMPTY,
    )
    lead_time = [row.get("lead_time") for row in rows]
    return _annotations(
        [row.get(key) or row.get(UNDEFINED) for row in rows],
        [row.get("id") for row in rows],
        outcome,
        picks,
        [str(row.get("annotator") or "unknown") if done else None for row, done in zip(rows, annotated, strict=True)],
        [row.get("updated_at") for row in rows],
        lead_time,
        [seconds is None for seconds in lead_time],
    )


def _before_id(row: tuple[str, ...]) -> set[str]:
    """Return the fields of a JSON-MIN row that are the task's data; none if another program has sorted them."""
    as_exported = "id" in row and TAIL in (row[-5:], row[-6:-1])
    return set(row[: row.index("id")]) if as_exported else set()


def _find_image_key(rows: list[dict[str, Any]], names: set[str], named: str) -> str:
    fields = sorted(names - NOT_DATA - {UNDEFINED})
    # Ten thousand rows tell it as well as a million.
    sample = rows[:: len(rows) // 10_000 + 1]
    texts = {name: [text for row in sample if isinstance(text := row.get(name), str)] for name in fields}
    found: list[str] = []
    for pattern in IMAGE_REFERENCES:
        looks = re.compile(pattern, re.IGNORECASE).search
        found = found or _frequent({name: sum(map(bool, map(looks, texts[name]))) for name in fields}, fields)
    key = _choose("image_key", named, found or [UNDEFINED], names)
    if key not in names:
        listed = [f"the export has: {name}" for name in fields]
        raise Problem("No field of the export holds images.", listed, "Set image_key if one of these does.")
    return key


def _frequent(counts: dict[str, int], names: Iterable[str]) -> list[str]:
    """Return the names that occur, but not those that occur less than half as often as another: strays, not rivals."""
    counts = {name: counts[name] for name in names if counts.get(name)}
    return sorted(name for name, count in counts.items() if 2 * count >= max(counts.values()))


def _choose(parameter: str, named: str, candidates: list[str], known: Iterable[str]) -> str:
    """Return the one that was named, or else the only candidate; nothing if there is none."""
    if named and (named in known or not candidates):
        return named
    if named or len(candidates) > 1:
        raise Problem(
            f"The export has no {named!r}." if named else f"Several fields of the export could be the {parameter}.",
            [f"it could be: {name}" for name in candidates],
            f"Set {parameter} to the one that is meant.",
        )
    return candidates[0] if candidates else ""


def _picks(value: object) -> Picks:
    """Return the distinct choices in a control's value: ``"a"``, ``{"choices": ["a", "b"]}`` or a list of such."""
    if isinstance(value, str):
        return (value,) if value else ()
    chosen: list[Any] = []
    for part in value if isinstance(value, list) else [value]:
        choices = part.get("choices") if isinstance(part, dict) else part
        chosen.extend(choices if isinstance(choices, list) else [choices])
    return tuple(sorted(set(chosen))) if all(isinstance(choice, str) and choice for choice in chosen) else ()


def _person(who: object) -> str:
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return "unknown" if who is None else str(who)


def _annotations(
    image: Sequence[Any],
    task: Sequence[Any],
    outcome: Sequence[Any] | np.ndarray,
    picks: Sequence[Any],
    annotator: Sequence[Any],
    updated_at: Sequence[Any],
    lead_time: Sequence[Any],
    by_model: Sequence[Any],
) -> pd.DataFrame:
    """Gather what was read in one table. What is not of the expected type counts as missing."""
    images = [text if isinstance(text, str) else "" for text in image]
    dates = pd.Series([text if isinstance(text, str) else None for text in updated_at], dtype=object)
    return make_table(
        {
            "image": images,
            "task": [number if isinstance(number, int) else _number(str(number)) for number in task],
            "outcome": np.where([text == "" for text in images], Outcome.NO_IMAGE, np.asarray(outcome)),
            "picks": picks,
            "annotator": annotator,
            "updated_at": pd.to_datetime(dates, utc=True, format="ISO8601", errors="coerce", cache=False),
            "lead_time": pd.to_numeric(pd.Series(lead_time, dtype=object), errors="coerce"),
            "by_model": by_model,
        }
    )


def make_table(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Make a table without copying the columns: with a million rows that is felt."""
    types = {"outcome": "int64", "updated_at": "datetime64[us, UTC]", "lead_time": "float64", "by_model": "bool"}
    typed = {name: pd.Series(values, dtype=types.get(name, object)) for name, values in columns.items()}
    return pd.DataFrame(typed, copy=False)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) < 19 else text
