"""A hash that is remembered is never that of another file, whatever the numbers of files say."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from projects import MONDAY, TUESDAY, Project, labelled, tree

from helpers import hashing
from helpers.hashing import sha256_of

CLASSES = ["even", "odd"]
IMAGES = 100


@pytest.fixture
def project(tmp_path) -> Project:
    project = Project(tmp_path / "project")
    for label in CLASSES:
        (project.raw / label).mkdir()
    return project


def bitmap(number: int) -> bytes:
    """A picture; all have the same size in bytes."""
    content = io.BytesIO()
    Image.new("RGB", (4, 4), (number % 256, number // 256, 0)).save(content, "BMP")
    return content.getvalue()


def unpack(project: Project, numbers: range, prefix: str) -> list[dict[str, object]]:
    """Put pictures in place of all that are there, as an archive does; the rows of the export that labels them."""
    for file in project.images.iterdir():
        file.unlink()
    for place, number in enumerate(numbers):
        project.put(f"images/{prefix}{place:03}.bmp", bitmap(number))
    time = MONDAY if numbers[0] == 0 else TUESDAY
    names = [f"{prefix}{place:03}.bmp" for place in range(len(numbers))]
    # What comes second has the classes the other way round, so that an old hash looks like a correction.
    return [
        labelled(name, CLASSES[(number + (number >= IMAGES)) % 2], time, tasks=(number,))
        for name, number in zip(names, numbers, strict=True)
    ]


def numbers_come_back(monkeypatch: pytest.MonkeyPatch, images: Path, *, changed: bool) -> None:
    """Give the n-th image the same inode and times whatever it is, as ext4 and `tar --mtime` do."""
    stat = Path.stat

    def same(path: Path, **options: bool) -> object:
        status = stat(path, **options)
        if path.parent != images:
            return status
        number, time = int(path.stem[-3:]), {} if changed else {"st_ctime_ns": 1}
        known = {"st_mode": status.st_mode, "st_size": status.st_size, "st_ctime_ns": status.st_ctime_ns}
        return SimpleNamespace(**known | {"st_ino": number, "st_mtime_ns": 1} | time)

    monkeypatch.setattr(Path, "stat", same)


@pytest.mark.parametrize(
    ("prefixes", "changed"),
    [(("a", "b"), True), (("a", "a"), True), (("a", "a"), False)],
    ids=["other names", "the same names", "a disk without times of change"],
)
def test_images_that_take_the_inodes_of_deleted_ones_are_merged_as_themselves(project, monkeypatch, prefixes, changed):
    numbers_come_back(monkeypatch, project.images, changed=changed)
    expected: dict[str, object] = {}
    for part, prefix in enumerate(prefixes):
        rows = unpack(project, range(part * IMAGES, (part + 1) * IMAGES), prefix)
        for _ in range(2):
            project.plan(*rows)  # so that hashes are remembered, also those of images that are not merged yet
        plan = project.merge(*rows)
        assert plan["action"].tolist() == ["add"] * IMAGES
        expected |= {sha256_of(project.images / str(r["file"])[9:]): r["label"] for r in rows}
    merged = {sha256: Path(name).parent.name for name, sha256 in tree(project.raw).items()}
    assert merged == expected


def test_an_export_that_grows_costs_no_reading_of_the_images_from_before(project, monkeypatch):
    rows = unpack(project, range(20), "a")
    project.merge(*rows)
    project.plan(*rows)  # reads the images once more that came within a tick of the clock
    read: list[str] = []

    def note(file: str) -> str:
        read.append(Path(file).name)
        return sha256_of(file)

    monkeypatch.setattr(hashing, "sha256_of", note)
    project.put("images/a020.bmp", bitmap(20))
    plan = project.plan(*rows, labelled("a020.bmp", "even", TUESDAY, tasks=(20,)))
    assert plan["action"].tolist() == ["keep"] * 20 + ["add"]
    assert read == ["a020.bmp"]
