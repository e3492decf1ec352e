"""Read the files that Label Studio exports: tell the format by the content, and read every annotation.

The formats are those of label-studio-sdk 2.1.2 (``converter/converter.py``, ``exports/csv2.py``).
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from helpers.labels.annotations import Annotation
from helpers.labels.fields import TAIL
from helpers.labels.json_min import read_rows
from helpers.labels.json_tasks import read_tasks
from helpers.problems import Problem

AGAIN = "Export again from Label Studio, as JSON, JSON-MIN, CSV or TSV."


def read_annotations(
    path: Path, image_key: str, label_control: str, scene_key: str, keep: Sequence[str]
) -> Iterator[Annotation]:
    """Read every annotation of an export, and every task without one, in the order of the file."""
    try:
        entries = _parse(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise Problem(f"The export {path} cannot be read: {error.strerror}.", advice="Check its path.") from None
    except (ValueError, csv.Error) as error:
        raise Problem(f"The export {path} is damaged, cut off or in another format: {error}.", advice=AGAIN) from None
    if not entries:
        return iter(())
    fits, read = (_is_row, read_rows) if _is_row(entries[0]) else (_is_task, read_tasks)
    misfits = [f"entry {number}: {str(entry)[:80]}" for number, entry in enumerate(entries, 1) if not fits(entry)]
    if misfits:
        raise Problem(f"{path} has {len(misfits)} entries that are no task of Label Studio.", misfits, AGAIN)
    return read(entries, image_key, label_control, scene_key, keep)


def _parse(content: bytes) -> list[Any]:
    """Return the tasks of a JSON export, or the rows of any other."""
    if not content.strip():
        raise ValueError("it is empty")
    if content.lstrip()[:1] not in (b"[", b"{"):
        return _parse_csv(content.decode())
    entries = parse_json(content)
    if _is_task(entries):  # a single one
        return [entries]
    if not isinstance(entries, list):
        raise ValueError(f"it is an object with {', '.join(map(repr, list(entries)[:5]))}")
    return entries


def parse_json(content: bytes) -> Any:
    """Read JSON; a `ValueError` says in words where it is damaged."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if "surrogate" in str(error):
            place = f"line {error.lineno} column {error.colno}"
            raise ValueError(f"a text is not Unicode, but holds half of a surrogate pair, at {place}") from None
        raise


def _parse_csv(text: str) -> list[dict[str, object]]:
    """Return rows as JSON-MIN has them: without the fields that are empty, but for those that every row has."""
    first = text.partition("\n")[0].strip().replace('"', "")
    separator = next((mark for mark in ",\t;" if set(TAIL) <= set(first.split(mark))), None)
    if separator is None:
        raise ValueError(f"neither JSON nor a table with the columns {', '.join(TAIL)}")
    # A picture in a data: URI is longer than the 128 KiB that a cell may have by default.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header = next(reader)
    if len(set(header)) < len(header):
        raise ValueError("two columns have the same name")
    rows = []
    for cells in filter(None, reader):
        if len(cells) != len(header):
            raise ValueError(f"line {reader.line_num} has {len(cells)} cells instead of {len(header)}")
        filled = {name: _parse_cell(cell) for name, cell in zip(header, cells, strict=True) if cell}
        rows.append(dict.fromkeys(TAIL) | filled)
    return rows


def _parse_cell(text: str) -> object:
    try:
        return orjson.loads(text) if text.startswith(("{", "[")) else text
    except orjson.JSONDecodeError:
        return text


def _is_row(entry: object) -> bool:
    return isinstance(entry, dict) and set(TAIL) <= entry.keys()


def _is_task(entry: object) -> bool:
    if not (isinstance(entry, dict) and isinstance(entry.get("data"), dict)):
        return False
    annotations = entry.get("annotations")
    return isinstance(annotations, list) and all(isinstance(annotation, dict) for annotation in annotations)
