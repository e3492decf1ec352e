"""A hundred thousand new images planned and copied, against `cp -r` and opening each once with Pillow."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
from PIL import Image

from helpers.annotations import read_export
from helpers.content import sha256_of
from helpers.dataset import apply_merge, plan_merge

IMAGES = 100_000
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
    """How long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(folder: Path) -> None:
    """Merge into an empty training set, twice."""
    images, export, raw = folder / "images", folder / "export.json", folder / "raw"
    write_images(images, export)
    raw.mkdir()
    labels, lineage = read_export(export), folder / "labels.csv"

    def merge() -> None:
        plan = plan_merge(labels, images, raw, lineage=lineage, new_classes=[f"class {number}" for number in range(10)])
        apply_merge(plan, raw, lineage, sha256_of(export))

    def copy() -> None:
        subprocess.run(["cp", "-r", images, folder / "copy"], check=True)
        subprocess.run([sys.executable, "-c", OPEN_EACH, str(images)], check=True)

    copied, first, second = seconds(copy), seconds(merge), seconds(merge)
    print(f"{'cp -r, and Image.open of each':42}{copied:8.1f} s")
    print(f"{'plan and merge':42}{first:8.1f} s  ({first / copied:.2f} of that)")
    print(f"{'again, nothing to merge':42}{second:8.1f} s  ({second / first:.2f} of the first)")
