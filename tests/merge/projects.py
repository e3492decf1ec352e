"""Training sets with images to be labelled, and rows of exports that name them."""

import io
import itertools
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from helpers.hashing import sha256_of
from helpers.merge.apply import apply_merge
from helpers.merge.plan import plan_merge

MONDAY, TUESDAY, WEDNESDAY = pd.date_range("2026-11-02", periods=3, tz="UTC")


def picture(number: int) -> bytes:
    """A small picture; another number is another picture."""
    content = io.BytesIO()
    Image.new("RGB", (4, 4), (number % 256, number // 256, 0)).save(content, "PNG")
    return content.getvalue()


def labelled(file: str, label: str | None, updated_at: Any = MONDAY, **columns: object) -> dict[str, object]:
    """A row of `read_export`, of an uploaded image."""
    stored = f"{zlib.crc32(f'{file}{columns}'.encode()):08x}-{file}"
    return {
        "image": f"/data/upload/1/{stored}",
        "file": stored,
        "label": label,
        "status": "labelled" if label else "unlabelled",
        "reason": None if label else "not annotated",
        "tasks": (1, 2),
        "annotators": ("1", "ann@example.org"),
        "labels": (label, label) if label else (),
        "updated_at": updated_at,
        "lead_time": 2.5,
        "by_model": False,
        "project": "3",
        "queue": "chance",
    } | columns


def in_storage(path: str, label: str | None, updated_at: pd.Timestamp = MONDAY) -> dict[str, object]:
    """A row of `read_export`, of an image in a bucket."""
    return labelled(path, label, updated_at) | {"image": f"s3://bucket/{path}", "file": path}


def tree(folder: Path) -> dict[str, str]:
    """What is where: the SHA-256 of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


class Project:
    """A folder with a training set, images to be labelled, and a lineage."""

    def __init__(self, root: Path) -> None:
        self.root, self.images = root, root / "images"
        self.raw, self.lineage = root / "data/raw", root / "data/labels.csv"
        self.hashes = root.with_name(f"{root.name}.hashes.json")
        self.images.mkdir(parents=True)
        self.raw.mkdir(parents=True)

    def put(self, name: str, content: bytes | int) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(picture(content) if isinstance(content, int) else content)

    def plan(self, *rows: dict[str, object], **options: Any) -> pd.DataFrame:
        labels = pd.DataFrame(rows)
        labels["updated_at"] = pd.to_datetime(labels["updated_at"], utc=True)
        return plan_merge(labels, self.images, self.raw, lineage=self.lineage, hashes=self.hashes, **options)

    def apply(self, plan: pd.DataFrame, export: str = "e1") -> None:
        apply_merge(plan, self.raw, self.lineage, export, hashes=self.hashes)

    def merge(self, *rows: dict[str, object], export: str = "e1", **options: Any) -> pd.DataFrame:
        plan = self.plan(*rows, **options)
        self.apply(plan, export)
        return plan


def make_project(root: Path) -> Project:
    """Two classes with an image each, and three images to be labelled."""
    project = Project(root)
    project.put("data/raw/Mars/old.png", 1)
    project.put("data/raw/Moon/old.png", 2)
    for number, name in enumerate("abc"):
        project.put(f"images/{name}.png", 10 + number)
    return project


def busy_project(root: Path) -> tuple[Project, list[dict[str, object]]]:
    """A project whose next merge adds, renames, swaps, moves, keeps, empties a class and makes one."""
    project = Project(root)
    paths = [f"{folder}/{name}.png" for folder in "xy" for name in "abcdefghi"]
    for number, path in enumerate(paths):
        project.put(f"images/{path}", number)

    first = {"x/a.png": "Mars", "y/a.png": "Moon", "x/b.png": "Pluto", "x/c.png": "Mars"}
    project.merge(*itertools.starmap(in_storage, first.items()), new_classes=["Mars", "Moon", "Pluto"])
    changed = {"x/a.png": "Moon", "y/a.png": "Mars", "x/b.png": "Mars", "x/f.png": "Venus", "y/f.png": "Venus"}
    labels = dict.fromkeys(paths, "Mars") | changed
    return project, [in_storage(path, label, TUESDAY) for path, label in labels.items()]
