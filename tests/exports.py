"""Exports as Label Studio writes them, for tests of reading them."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from helpers.labels import read_export

COLUMNS = ["image", "file", "label", "status", "reason", "tasks", "annotators", "labels", "truths"]
COLUMNS += ["updated_at", "lead_time", "by_model", "project", "queue", "scene"]
FORMATS = ("JSON", "JSON-MIN", "CSV", "TSV")
in_all_formats = pytest.mark.parametrize("form", FORMATS)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # for all examples
in_minimal_formats = pytest.mark.parametrize("form", FORMATS[1:])
UPLOAD = "/data/upload/7/0a1b2c3d-{}.jpg"

Task = dict[str, Any]


def annotation(
    *picks: str | list[str], by: Any = 1, at: str = "2026-01-05T09:00:00Z", seconds: float | None = 2.0, **more
) -> Task:
    """An annotation of the full JSON export; `picks` are what was chosen in the control `choice`."""
    result = [{"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": list(picks)}}]
    about = {"completed_by": by, "updated_at": at, "lead_time": seconds, "was_cancelled": False, **more}
    return {"result": result if picks else [], "created_at": "2026-01-05T08:00:00Z", "parent_prediction": None} | about


def also(entry: Task, control: str, **value: object) -> Task:
    """The same annotation with a further control filled in."""
    return entry | {"result": [*entry["result"], {"from_name": control, "to_name": "image", "value": value}]}


def task(image: str | None, *annotations: Task, **data: object) -> Task:
    """A task of the full JSON export."""
    return {"data": {"image": image, **data}, "annotations": list(annotations)}


def minimal(tasks: list[Task], *, as_csv: bool = False) -> list[dict[str, Any]]:
    """Do to tasks what Label Studio's converter does for JSON-MIN, or for a CSV."""
    kept = [entry for task in tasks for entry in task["annotations"] if not entry["was_cancelled"]]
    controls = {result["from_name"] for entry in kept for result in entry["result"]}
    rows: list[dict[str, Any]] = []
    for number, task in enumerate(tasks, start=1):
        entries = [entry for entry in task["annotations"] if not entry["was_cancelled"]]
        for entry in entries if task["annotations"] else [{}]:
            row = {f"_data_{key}" if as_csv and key in controls else key: text for key, text in task["data"].items()}
            row["id"] = task.get("id", number)
            answers: dict[str, list[Any]] = {}
            for result in entry.get("result", ()):
                texts = result["value"].get("choices", [])
                answers.setdefault(result["from_name"], []).append(texts[0] if len(texts) == 1 else result["value"])
            chosen = {result["from_name"] for result in entry.get("result", ()) if "choices" in result["value"]}
            for name, values in answers.items():
                row[name] = values[0] if name in chosen and len(values) == 1 else values
            row["annotator"] = entry.get("completed_by")
            row["annotation_id"] = len(rows) + 1 if entry else None
            rows.append(row | {key: entry.get(key) for key in ("created_at", "updated_at", "lead_time")})
    return rows


def write(path: Path, tasks: list[Task], form: str) -> Path:
    """Write an export the way Label Studio does."""
    if form == "JSON":
        numbered = [{"id": number} | task for number, task in enumerate(tasks, start=1)]
        path.write_text(json.dumps(numbered))
    elif form == "JSON-MIN":
        rows = ",\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in minimal(tasks))
        path.write_text(f"[\n{rows.replace('/', chr(92) + '/')}\n]", "utf-8")
    else:
        records = minimal(tasks, as_csv=True)
        header = sorted({"annotator", "annotation_id", "created_at", "updated_at", "lead_time"}.union(*records))
        text = io.StringIO(newline="")
        marks = {"CSV": ",", "TSV": "\t"}
        writer = csv.DictWriter(text, header, quoting=csv.QUOTE_NONNUMERIC, delimiter=marks[form])
        writer.writeheader()
        flat = [{key: json.dumps(x) if isinstance(x, dict | list) else x for key, x in row.items()} for row in records]
        writer.writerows(flat)
        path.write_text(text.getvalue(), "utf-8", newline="")
    return path


def read(folder: Path, *tasks: Task, form: str = "JSON", **options: Any) -> pd.DataFrame:
    """Write tasks as an export and read it."""
    return read_export(write(folder / "export", list(tasks), form), **options)


MONDAY, TUESDAY, FRIDAY = (f"2026-01-0{day}T09:00:00Z" for day in (5, 6, 9))
VOTES = [
    task(UPLOAD.format("outvoted"), *(annotation(label, at=FRIDAY) for label in ("Mars", "Moon", "Mars"))),
    task(UPLOAD.format("tied"), *(annotation(label, at=FRIDAY) for label in ("Mars", "Moon"))),
    task(UPLOAD.format("corrected"), annotation("Sun", at=TUESDAY), annotation("Mars", at=FRIDAY), annotation("Sun")),
    task(UPLOAD.format("widened"), annotation("Sun", at=MONDAY), annotation("Sun", "Moon", at=TUESDAY)),
    task(UPLOAD.format("undated"), annotation("Sun", at=MONDAY), annotation("Moon", at="yesterday")),
    task(UPLOAD.format("undated-but-agreed"), annotation("Sun", at=MONDAY), annotation("Sun", at="yesterday")),
]
MIXED = [
    *VOTES,
    task(
        UPLOAD.format("a"),
        annotation("Mars"),
        annotation("Moon", was_cancelled=True),
        camera="left",
        blind=True,
        queue=0.5,
    ),
    task("s3://bucket/b.jpg", annotation("Mars, Moon"), annotation("Mars", "Moon")),
    task("s3://bucket/b.jpg", annotation("Mars, Moon", by="ann@example.org")),
    task(None, annotation("7")),
    task(UPLOAD.format("c"), blind="false"),
]
