"""Scenes: images that are nearly the same, such as frames of a video or pictures of a patient, and how they are named.

The images of a scene are held out, compared and counted together.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from helpers.files import UPLOADED
from helpers.problems import Problem

HEADER = ["sha256", "scene"]


def read_scenes(file: Path) -> dict[str, str]:
    """Read the recorded scenes, ``data/scenes.csv``: the scene of a content by its SHA-256. No file means no scenes.

    A `Problem` names all lines that are damaged. Of two lines with the same content, the first counts.
    """
    if not file.exists():
        return {}
    advice = "Its columns are sha256 and scene. `git checkout` brings the last version back."
    try:
        with file.open(encoding="utf-8", newline="") as content:
            header, *rows = list(csv.reader(content)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Problem(f"{file} is damaged.", [str(error)], advice) from None
    wrong = [f"line 1: {','.join(header)}"] if header != HEADER else []
    wrong += [
        f"line {number}: {','.join(row)[:100]}"
        for number, row in enumerate(rows, 2)
        if not (len(row) == 2 and re.fullmatch("[0-9a-f]{64}", row[0]) and row[1])
    ]
    if wrong:
        raise Problem(f"{file} is damaged.", wrong, advice)
    return dict(reversed(rows))


def write_scenes(file: Path, scenes: Mapping[str, str]) -> None:
    """Write the file that `read_scenes` reads, as a whole: nobody ever reads half of it."""
    part = file.with_name(f".{file.name}.part")
    with part.open("w", encoding="utf-8", newline="") as content:
        rows = sorted(scenes.items(), key=lambda row: (row[1], row[0]))
        csv.writer(content, lineterminator="\n").writerows([HEADER, *rows])
    part.replace(file)


def record_scenes(recorded: Mapping[str, str], plan: pd.DataFrame) -> dict[str, str]:
    """Add the scenes of the images that a merge plan keeps in the training set; one that is recorded stays.

    `plan` is from `helpers.merge.plan.plan_merge`.
    """
    named = plan[plan["scene"].ne("") & plan["action"].ne("leave out")].drop_duplicates("sha256")
    return dict(zip(named["sha256"], named["scene"], strict=True)) | dict(recorded)


def name_scenes(images: Iterable[tuple[str, str]], recorded: Mapping[str, str], pattern: str) -> dict[str, str]:
    """Name the scenes of images: the recorded one, or else what the setting ``prepare.scene`` finds in the file name.

    `images` are file names and SHA-256, `recorded` is from `read_scenes`, and the first group of the `pattern` is the
    scene; an empty pattern finds none. The result has the scene of each content for which one is found, by SHA-256. A
    content is in one scene: of several files, the first that names one decides. The prefix that Label Studio gives to
    uploads does not count, nor does the suffix of a name that was taken.

    >>> name_scenes([("cam3_0007.jpg", "1f…"), ("map.jpg", "2e…")], {}, r"^(.+?)_\\d+\\.jpg$")
    {'1f…': 'cam3'}
    """
    find = re.compile(pattern).search if pattern else None
    scenes: dict[str, str] = {}
    for name, sha256 in images:
        found = find(name_before_merge(name, sha256)) if find else None
        if scene := recorded.get(sha256) or (found and found[1]):
            scenes.setdefault(sha256, scene)
    return scenes


def name_before_merge(name: str, sha256: str) -> str:
    """Return the name of a file in data/raw/<label> as it was before Label Studio and the merge changed it."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + re.sub(rf"-{sha256[:8]}(-\d+)?(?=\.\w+$)", "", UPLOADED.sub("", file))
