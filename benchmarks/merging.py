"""A hundred thousand new images planned and copied, against `cp -r` and opening each once with Pillow."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from operator import truediv
from pathlib import Path
from statistics import median

import numpy as np
import orjson
from PIL import Image

from helpers.hashing import sha256_of
from helpers.labels import read_export
from helpers.merge.apply import apply_merge
from helpers.merge.plan import plan_merge
from helpers.merge.rules import CHANGES

IMAGES, RUNS = 100_000, 3
OPEN_EACH = """
import sys
from pathlib import Path
from PIL import Image
for file in Path(sys.argv[1]).iterdir():
    Image.open(file).close()
"""


def write_images(folder: Path, export: Path) -> None:
    """Write small pictures that all differ, and an export that labels them."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 24, 24), dtype=np.uint8)
    rows = []
    for number, picture in enumerate(pixels):
        name = f"img{number:06d}.jpg"
        Image.fromarray(picture).save(folder / name, quality=90)
        rows.append(
            {
                "image": f"/data/upload/1/{number:08x}-{name}",
                "id": number,
                "choice": f"class {number % 10}",
                "annotator": 1,
                "annotation_id": number,
                "created_at": "2026-11-22T07:31:47.640255Z",
                "updated_at": "2026-11-22T07:31:47.640255Z",
                "lead_time": 3.2,
            }
        )
    export.write_bytes(orjson.dumps(rows))


def seconds(work: Callable[[], object]) -> float:
    """How long something takes once the disk has nothing left to do from before."""
    os.sync()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(folder: Path) -> None:
    """Merge into an empty training set, twice; take turns, since the speed of a disk varies."""
    images, export = folder / "images", folder / "export.json"
    write_images(images, export)
    labels, digest = read_export(export), sha256_of(export)
    classes = [f"class {number}" for number in range(10)]

    def copy(target: Path) -> None:
        subprocess.run(["cp", "-r", images, target], check=True)
        subprocess.run([sys.executable, "-c", OPEN_EACH, str(images)], check=True)

    def merge(raw: Path, lineage: Path, hashes: Path) -> None:
        plan = plan_merge(labels, images, raw, lineage=lineage, hashes=hashes, new_classes=classes)
        if plan["action"].isin(CHANGES).any():
            apply_merge(plan, raw, lineage, digest, hashes=hashes)

    runs = []
    for number in range(RUNS):
        run = folder / str(number)
        raw = run / "raw"
        raw.mkdir(parents=True)
        again = partial(merge, raw, run / "labels.csv", run / "hashes.json")
        runs.append((seconds(partial(copy, run / "copy")), seconds(again), seconds(again)))
        shutil.rmtree(run)
    copied, first, second = zip(*runs, strict=True)
    for name, times in (("cp -r, and Image.open of each", copied), ("plan and merge", first), ("again", second)):
        print(f"{name:42}{median(times):8.1f} s")
    print(f"{'plan and merge / cp -r and Image.open':42}{median(map(truediv, first, copied)):8.2f}")
    print(f"{'again / plan and merge':42}{median(map(truediv, second, first)):8.2f}")
