"""Read a Label Studio export: one row per image, with its label or the reason why it has none.

Every format becomes the same table of annotations first; one set of rules then turns that into the table of images.
What the formats look like was read from label-studio-sdk 2.1.2 (``converter/converter.py``, ``exports/csv2.py``).
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from itertools import compress, pairwise
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import orjson
import pandas as pd

from helpers.problems import Problem

COLUMNS = ["image", "file", "label", "status", "reason", "tasks", "annotators", "labels"]
COLUMNS += ["updated_at", "lead_time", "by_model"]
STATUSES = ("skipped", "unlabelled", "conflict", "several labels", "labelled")
ON_DISAGREEMENT = ("leave out", "majority", "latest")

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
    HIDDEN = 4  # may be an answer, may be not
    NO_IMAGE = 5


REASONS = {
    Outcome.NOT_ANNOTATED: "not annotated",
    Outcome.SKIPPED: "skipped",
    Outcome.EMPTY: "submitted without a choice",
    Outcome.HIDDEN: "this format does not tell the annotator's choice from the task's own data: export as JSON",
    Outcome.NO_IMAGE: "the task has no image",
}


def read_export(
    path: str | PathLike[str], *, image_key: str = "", label_control: str = "", on_disagreement: str = "leave out"
) -> pd.DataFrame:
    """Read a Label Studio export in JSON, JSON-MIN, CSV or TSV, told apart by its content.

    Skipped annotations and those without a choice never count. All others of an image must agree on exactly one class,
    also where one person annotated it twice, or where it was imported twice and so has two tasks.

    Parameters
    ----------
    path : path
        The export, in UTF-8.
    image_key : str, optional
        The field of the tasks' data that holds the image. Needed where several could.
    label_control : str, optional
        The name of the ``<Choices>`` tag that holds the label. Needed where several could.
    on_disagreement : {'leave out', 'majority', 'latest'}
        Which annotations decide where they disagree: all, so that there is no label; those with the most frequent
        answer; or the one that was updated last. A tie, or under ``latest`` a missing time, means no label.

    Returns
    -------
    DataFrame
        One row per distinct image reference, in the order of first appearance:

        ``image`` : str
            As exported. Empty in the one row that stands for all tasks without an image.
        ``file`` : str
            What to look for on disk, percent-decoded: the stored name of an upload, else the path below the bucket,
            host or document root. Empty for ``data:`` URIs.
        ``label`` : str or None
            The class, exactly as exported. None unless ``status`` is ``labelled``.
        ``status`` : str
            ``labelled``, ``conflict``, ``several labels``, ``unlabelled`` or ``skipped``.
        ``reason`` : str or None
            Why there is no label.
        ``tasks`` : tuple of int or str
            The tasks that the status comes from.
        ``annotators`` : tuple of str
            Who annotated, an id or an e-mail address; one entry per annotation that counts.
        ``labels`` : tuple of str
            What each of ``annotators`` chose. Empty where nothing was chosen.
        ``updated_at`` : datetime64[us, UTC]
            When the last of these annotations was last updated.
        ``lead_time`` : float
            Seconds that these annotations took together.
        ``by_model`` : bool
            The label was accepted in bulk from predictions. Only JSON says so; in the other formats it is an answer
            without a lead time.

    Raises
    ------
    Problem
        The file is missing, damaged or no export, or does not say by itself which field or control to read.
    """
    if on_disagreement not in ON_DISAGREEMENT:
        raise Problem(f"on_disagreement is {on_disagreement!r}.", advice=f"Use one of: {', '.join(ON_DISAGREEMENT)}.")
    rows = _load(Path(path))
    if not rows:
        return _table(dict.fromkeys(COLUMNS, ()))
    read = _read_minimal if _is_minimal(rows[0]) else _read_tasks
    return _images(read(rows, image_key, label_control), on_disagreement)


def agreement(images: pd.DataFrame) -> pd.DataFrame:
    """Count how often two annotators who labelled the same image agreed.

    Parameters
    ----------
    images : DataFrame
        What `read_export` returned.

    Returns
    -------
    DataFrame
        One row per pair: ``annotator`` and ``other`` (str), the ``images`` that both labelled (int), on how many of
        them everything that the two chose is equal (``agreed``, int), and ``share`` (float), agreed by images.
    """
    shared = images.loc[images["labels"].map(len) > 1, ["annotators", "labels"]].explode(["annotators", "labels"])
    shared = shared.rename_axis("image").reset_index()
    pairs = shared.merge(shared, on="image").query("annotators_x < annotators_y")
    pairs["alike"] = pairs["labels_x"] == pairs["labels_y"]
    alike = pairs.groupby(["annotators_x", "annotators_y", "image"])["alike"].all()
    table = alike.groupby(level=[0, 1]).agg(["size", "sum"]).reset_index()
    table.columns = pd.Index(["annotator", "other", "images", "agreed"])
    return table.assign(share=table["agreed"] / table["images"])


def lead_times(images: pd.DataFrame) -> pd.DataFrame:
    """Tell how long labelling took.

    Parameters
    ----------
    images : DataFrame
        What `read_export` returned.

    Returns
    -------
    DataFrame
        Index ``annotator``. Of the ``images`` that nobody else labelled: their number, and the ``median`` and the
        ``longest`` lead time in seconds.
    """
    alone = images[(images["annotators"].map(len) == 1) & images["lead_time"].notna()]
    times = alone["lead_time"].groupby(alone["annotators"].str[0].rename("annotator").astype(object))
    return times.agg(["size", "median", "max"]).set_axis(["images", "median", "longest"], axis=1)


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
    controls = sorted({result["from_name"] for entry in submitted for result in _choices(entry)})
    control = _choose("label_control", label_control, controls, controls)
    rows: list[tuple[object, ...]] = []
    for task in tasks:
        image = task["data"].get(key) or task["data"].get(UNDEFINED)
        if not task["annotations"]:
            rows.append((image, task.get("id"), Outcome.NOT_ANNOTATED, (), None, None, None, False))
        for entry in task["annotations"]:
            picks = _picks([result["value"] for result in _choices(entry) if result["from_name"] == control])
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


def _read_minimal(rows: list[dict[str, Any]], image_key: str, label_control: str) -> pd.DataFrame:
    """Return a row for each row of a JSON-MIN export, or of a CSV made to look like it.

    These formats do not say which fields are controls. A field of a task without an annotation is data, and so is in
    JSON-MIN what stands before the ``id``. There a control of the same name is written over the data and keeps its
    place: whether the value is the annotator's or the task's own cannot be told.
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

    suspects = {control} if control else fields
    hidden = {row for row, before in before_id.items() if before & suspects}
    picks = list(map(_picks, values.get(control, [None] * len(rows))))
    outcome = np.select(
        [
            np.invert(annotated),
            [tuple(row) in hidden for row in rows] if hidden else False,
            np.fromiter(map(bool, picks), bool),
        ],
        [Outcome.NOT_ANNOTATED, Outcome.HIDDEN, Outcome.ANSWERED],
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
    return _table(
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


def _table(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Make a table without copying the columns: with a million rows that is felt."""
    types = {"outcome": "int64", "updated_at": "datetime64[us, UTC]", "lead_time": "float64", "by_model": "bool"}
    typed = {name: pd.Series(values, dtype=types.get(name, object)) for name, values in columns.items()}
    return pd.DataFrame(typed, copy=False)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) < 19 else text


def _images(annotations: pd.DataFrame, on_disagreement: str) -> pd.DataFrame:
    """Turn the table of annotations into the table of images."""
    image, images = pd.factorize(annotations["image"])
    answer, picks = pd.factorize(annotations["picks"])
    annotations = annotations.assign(image=image, answer=answer)
    outcome = annotations.groupby("image")["outcome"].max().to_numpy()
    counting = annotations[annotations["outcome"] == outcome[image]].sort_values("image", kind="stable")
    deciding = _deciding(counting, on_disagreement).groupby("image")
    lowest, highest = deciding["answer"].min().to_numpy(), deciding["answer"].max().to_numpy()

    several = np.array([len(chosen) > 1 for chosen in picks])[lowest]
    tests = [outcome == Outcome.SKIPPED, outcome != Outcome.ANSWERED, lowest != highest, several]
    status = np.array(STATUSES, dtype=object)[np.select(tests, range(4), 4)]
    labelled = status == "labelled"

    texts = np.array([", ".join(chosen) for chosen in picks], dtype=object)
    answered = counting[counting["outcome"] == Outcome.ANSWERED]
    labels = _gather(answered["image"], texts[answered["answer"]], len(images))
    reason = np.array([REASONS.get(level) for level in Outcome], dtype=object)[outcome]
    for at in np.flatnonzero(status == "conflict"):
        reason[at] = f"annotations disagree: {' | '.join(sorted(set(labels[at])))}"
    for at in np.flatnonzero(status == "several labels"):
        reason[at] = f"several classes on one image: {texts[lowest[at]]}"

    tasks = _gather(counting["image"], counting["task"], len(images))
    submitted = counting[counting["annotator"].notna()]
    by_image = counting.groupby("image")
    return _table(
        {
            "image": images,
            "file": list(map(_file, images.tolist())),
            "label": np.where(labelled, texts[lowest], None),
            "status": status,
            "reason": reason,
            "tasks": [numbers if len(numbers) == 1 else tuple(dict.fromkeys(numbers)) for numbers in tasks],
            "annotators": _gather(submitted["image"], submitted["annotator"], len(images)),
            "labels": labels,
            "updated_at": by_image["updated_at"].max(),
            "lead_time": by_image["lead_time"].sum(min_count=1),
            "by_model": deciding["by_model"].all() & labelled,
        }
    )


def _file(image: str) -> str:
    """Return what to look for on disk, given an image reference."""
    if "/data/upload/" in image:
        return unquote(image.partition("?")[0].partition("#")[0].rpartition("/")[2])
    if "/data/local-files/?d=" in image:
        return unquote(image.partition("?d=")[2].partition("&")[0])
    if image.startswith("data:"):
        return ""
    path = image.partition("?")[0]
    if image.startswith(("http", "/")):
        # Elsewhere a # is part of the name: Label Studio takes the keys of a bucket as they are.
        path = path.partition("#")[0]
    _, absolute, below_scheme = path.partition("://")
    return unquote(below_scheme.partition("/")[2] if absolute else path.lstrip("/"))


def _gather(image: pd.Series, values: Iterable[Any], count: int) -> list[tuple[Any, ...]]:
    """Return the values of each image, 0 to count - 1, as a tuple. A groupby takes a minute for a million images."""
    if np.array_equal(image, np.arange(count)):
        return list(zip(values, strict=True))
    ordered = tuple(values)
    bounds = np.searchsorted(image, np.arange(count + 1)).tolist()
    return [ordered[start:end] for start, end in pairwise(bounds)]


def _deciding(counting: pd.DataFrame, on_disagreement: str) -> pd.DataFrame:
    """Keep the annotations whose answers decide; if an image is left with two answers, it has no label."""
    image = counting["image"]
    if on_disagreement == "majority":
        votes = counting.groupby(["image", "answer"])["answer"].transform("size")
        return counting[votes == votes.groupby(image).transform("max")]
    if on_disagreement == "latest":
        updated_at = counting["updated_at"]
        undated = updated_at.isna().groupby(image).transform("any")
        return counting[undated | (updated_at == updated_at.groupby(image).transform("max"))]
    return counting
