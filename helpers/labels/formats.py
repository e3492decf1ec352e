"""Read the files that Label Studio exports: tell the format by the content, and read every annotation.

The formats are those of label-studio-sdk 2.1.2 (``converter/converter.py``, ``exports/csv2.py``).
"""

import codecs
import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from helpers.labels.annotations import COLUMNS, clean
from helpers.labels.json_min import read_rows
from helpers.labels.json_tasks import read_tasks
from helpers.problems import Problem

AGAIN = "Export again from Label Studio, as JSON, JSON-MIN, CSV or TSV."


def read_annotations(path: Path, image_key: str, label_control: str, after_step: Callable[[], object]) -> pd.DataFrame:
    """Read every annotation of an export, and every task without one, in the order of the file.

    `after_step` is called after the file is parsed, and again after its annotations are found. Returns the columns
    ``image`` (str), ``task`` (int or str), ``outcome`` (`Outcome`), ``picks`` (tuple of str, sorted), ``annotator``
    (str or None), ``updated_at`` (datetime64[us, UTC]), ``lead_time`` (float, seconds) and ``by_model`` (bool).
    """
    entries = _load(path)
    after_step()
    if not entries:
        return clean(pd.DataFrame(columns=COLUMNS, dtype=object))
    read = read_rows if _is_row(entries[0]) else read_tasks
    table = clean(read(entries, image_key, label_control))
    after_step()
    return table


def _load(path: Path) -> list[Any]:
    """Return the tasks of a JSON export, or the rows of any other."""
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise Problem(f"The export {path} cannot be read: {error.strerror}.", advice="Check its path.") from None
    if not content.strip():
        raise Problem(f"The export {path} is empty.", advice=AGAIN)
    try:
        is_json = content.lstrip()[:1] in (b"[", b"{")
        entries = orjson.loads(content) if is_json else _parse_csv(content.decode())
    except UnicodeDecodeError as error:
        raise Problem(f"The export {path} is no text in UTF-8: {error}.", advice=AGAIN) from None
    except (orjson.JSONDecodeError, csv.Error) as error:
        raise Problem(f"The export {path} is damaged or cut off: {error}.", advice=AGAIN) from None
    if not isinstance(entries, list):
        keys = ", ".join(map(repr, list(entries)[:5]))
        raise Problem(f"{path} is no export of Label Studio but an object with {keys}.", advice=AGAIN)
    fits = _is_row if entries and _is_row(entries[0]) else _is_task
    misfits = [f"entry {number}: {str(entry)[:80]}" for number, entry in enumerate(entries, 1) if not fits(entry)]
    if misfits:
        sentence = f"{path} has {len(misfits)} entries that are no task of Label Studio, such as:"
        raise Problem(sentence, misfits[:20], AGAIN)
    return entries


def _parse_csv(text: str) -> list[dict[str, object]]:
    """Return rows as JSON-MIN has them: without the fields that are empty, but always with an ``annotation_id``."""
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
        filled = {name: _parse_cell(cell) for name, cell in zip(header, cells, strict=True) if cell}
        rows.append({"annotation_id": None} | filled)
    return rows


def _parse_cell(text: str) -> object:
    try:
        return orjson.loads(text) if text.startswith(("{", "[")) else text
    except orjson.JSONDecodeError:
        return text


def _is_row(entry: object) -> bool:
    return isinstance(entry, dict) and "annotation_id" in entry


def _is_task(entry: object) -> bool:
    if not (isinstance(entry, dict) and isinstance(entry.get("data"), dict)):
        return False
    annotations = entry.get("annotations")
    return isinstance(annotations, list) and all(isinstance(annotation, dict) for annotation in annotations)
