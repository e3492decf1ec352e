"""The record of where the images of the training set come from: ``data/labels.csv``."""

import hashlib
import json
from collections.abc import Iterable
from io import BytesIO
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from helpers.merge.file_names import folder_of
from helpers.merge.rules import CHANGES
from helpers.problems import Problem

COLUMNS = ["file", "label", "sha256", "task", "annotators", "updated_at", "export_sha256", "by_model"]
COLUMNS += ["project", "queue", "labels_sha256"]  # which files of earlier versions lack
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
HEADER = ",".join(COLUMNS).encode()


def read_lineage(file: Path) -> pd.DataFrame:
    """Read the record of all merges: the images that came from labelling. No file means no merges yet.

    A row per image, sorted by ``file``, its path relative to data/raw: ``label``, ``sha256``, ``task``, the
    ``annotators`` who chose the label (separated by spaces), ``updated_at`` (UTC), ``export_sha256``, ``by_model``
    (bool), the number of the server's ``project``, why the image was in the ``queue`` (``chance`` or ``least certain``)
    and ``labels_sha256``, from `hash_labels`, by which exports are told apart. All others are str, and empty if they
    are unknown, as the last three are in a file of an earlier version. A `Problem` tells that the file is damaged.
    """
    try:
        return parse_lineage(file.read_bytes() if file.exists() else None)
    except (ValueError, KeyError) as error:
        raise Problem(f"{file} is damaged: {error}.", advice=f"`dvc checkout {file}` brings it back.") from None


def parse_lineage(content: bytes | None) -> pd.DataFrame:
    """Return the table of `read_lineage` from the bytes of its file, or an empty one from None."""
    table = pd.read_csv(BytesIO(content or HEADER), dtype=str, keep_default_na=False)
    table = table.assign(**{name: "" for name in COLUMNS[-3:] if name not in table})[COLUMNS]
    dates = pd.to_datetime(table["updated_at"], utc=True, format="ISO8601")
    return table.assign(updated_at=dates, by_model=table["by_model"] == "True").drop_duplicates("sha256")


def hash_labels(labels: pd.DataFrame) -> str:
    """Return the SHA-256, hexadecimal, by which an export is told from others: that of its labels, not of its bytes.

    `labels` is a table of `helpers.labels.read_export`, or a plan that was made from it. Each answer counts with its
    image, tasks, annotator and time, and so do skipped images. Images that nobody annotated, drafts and predictions do
    not count, and neither does any order.
    """
    columns = ["image", "tasks", "status", "label", "updated_at", "annotators", "labels"]
    rows = []
    for image, tasks, status, label, time, annotators, choices in labels[columns].itertuples(index=False):
        if annotators:
            answers = zip_longest(annotators, map(folder_of, choices), fillvalue="")
            at = "" if pd.isna(time) else f"{time:{TIME}}"
            folder = folder_of(label) if isinstance(label, str) else ""
            rows.append([image, sorted(map(str, tasks)), status, folder, at, sorted(map(list, answers))])
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def count_changes(before: pd.DataFrame, after: pd.DataFrame) -> tuple[int, int]:
    """Count the images that only the later lineage has, and those whose label changed."""
    known, labels = (lineage.set_index("sha256")["label"] for lineage in (before, after))
    common = labels.index.intersection(known.index)
    return len(labels) - len(common), int(labels[common].ne(known[common]).sum())


def extend_lineage(lineage: pd.DataFrame, plan: pd.DataFrame, export_sha256: str) -> pd.DataFrame:
    """Record a merge plan, made from the export of this hash, in place of older rows for the same content.

    The record gets the images that the plan adds or moves. It also gets those that the plan keeps if their label was
    confirmed since: earlier exports must not correct these any more. Why an image was asked for first stays on record:
    a correction from another project does not know it.
    """
    known_since = lineage.set_index("sha256")["updated_at"].reindex(plan["sha256"])
    confirmed = plan["action"].eq("keep") & plan["updated_at"].gt(known_since.array)
    fresh = plan[plan["action"].isin(CHANGES) | confirmed]
    fresh = fresh.sort_values("updated_at", ascending=False, kind="stable").drop_duplicates("sha256")
    reasons = pd.concat([lineage[["sha256", "queue"]], plan[["sha256", "queue"]]])
    asked = reasons[reasons["queue"] != ""].drop_duplicates("sha256").set_index("sha256")["queue"]
    fresh = fresh.assign(
        queue=asked.reindex(fresh["sha256"], fill_value="").array,
        file=fresh["destination"],
        task=fresh["tasks"].map(join_cell),
        annotators=[
            join_cell(who for who, choice in zip(annotators, labels, strict=True) if choice == label)
            for label, labels, annotators in zip(fresh["label"], fresh["labels"], fresh["annotators"], strict=True)
        ],
        export_sha256=export_sha256,
        labels_sha256=hash_labels(plan),
    )[COLUMNS]
    older = lineage[~lineage["sha256"].isin(fresh["sha256"]) & ~lineage["file"].isin(fresh["file"])]
    return pd.concat([older, fresh]).sort_values("file", ignore_index=True)


def format_lineage(lineage: pd.DataFrame) -> str:
    """Return the text of the file that `read_lineage` reads; the same rows give the same text."""
    dates = lineage["updated_at"].dt.strftime(TIME)
    return lineage.assign(updated_at=dates).to_csv(index=False, lineterminator="\n")


def join_cell(values: Iterable[object]) -> str:
    """Write several tasks or people into a cell of the lineage."""
    return " ".join(dict.fromkeys(map(str, values)))
