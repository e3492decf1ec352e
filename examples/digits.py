"""A workspace with scikit-learn's handwritten digits.

    python -m examples.digits demo

makes ``demo`` (a clone of this repository with 400 labelled digits, a trained baseline, and 1,000 more digits that come
back from a labelling round), and beside it ``demo.git`` and ``demo-storage``, its git and DVC remotes.
"""

import argparse
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from examples.workspace import make_workspace
from helpers.pipeline.paths import RAW
from helpers.problems import exit_on_problem
from helpers.workspace import EXTRA

LABELLED, TO_LABEL = 400, 1000
UNLABELLED, AGREED, DISPUTED = 40, 25, 6  # of the images to label; one more is submitted empty


def make_digits(folder: Path) -> bool:
    """Make the workspace of the digits; see `make_workspace`."""
    return make_workspace(folder, write_digits, f"Add {LABELLED} labelled digits and train the baseline")


def write_digits(folder: Path) -> None:
    """Write the labelled digits to data/raw, the others to extra-data with the export of their labelling round."""
    digits = load_digits()
    chance = np.random.default_rng(0)
    order = chance.permutation(len(digits.images))[: LABELLED + TO_LABEL]
    pixels = (digits.images * 255 / digits.images.max()).astype(np.uint8)
    tasks = []
    for number, index in enumerate(order):
        label, name = str(digits.target[index]), f"digit-{index:04}.png"
        path = folder / RAW / label / name if number < LABELLED else folder / EXTRA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[index]).save(path)
        if number >= LABELLED:
            tasks.append((f"/data/upload/1/{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}-{name}", label))
    rows = json.dumps(label_tasks(tasks, chance), indent=2).replace("/", "\\/")
    (folder / EXTRA / "annotations.json").write_text(rows + "\n", encoding="utf-8")


def label_tasks(tasks: list[tuple[str, str]], chance: np.random.Generator) -> list[dict[str, object]]:
    """A JSON-MIN export with all tasks, after two people went through `tasks`: image references and true labels."""
    fates = ["unlabelled"] * UNLABELLED + ["empty"] + ["agreed"] * AGREED + ["disputed"] * DISPUTED
    fates += ["labelled"] * (len(tasks) - len(fates))
    clock = datetime(2026, 1, 5, 9, tzinfo=UTC)
    rows: list[dict[str, object]] = []
    for task, ((image, label), fate) in enumerate(zip(tasks, chance.permutation(fates), strict=True), start=1):
        wrong = str((int(label) + 1) % 10)
        picks = {"agreed": [label, label], "disputed": [label, wrong], "labelled": [label]}.get(fate, [""])
        for pick in picks:
            row: dict[str, object] = {"image": image, "id": task, "annotator": None, "annotation_id": None}
            row |= {"created_at": None, "updated_at": None, "lead_time": None}
            if fate != "unlabelled":
                seconds = round(float(chance.gamma(4, 0.8)), 3)
                clock += timedelta(seconds=seconds)
                stamp = clock.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                row |= {"choice": pick} if pick else {}
                row |= {"annotator": 1 + (len(rows) % 2), "annotation_id": len(rows) + 1}
                row |= {"created_at": stamp, "updated_at": stamp, "lead_time": seconds}
            rows.append(row)
    return rows


def main() -> None:
    """Make the workspace where the command line says."""
    parser = argparse.ArgumentParser(description="Make a workspace with handwritten digits.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"))
    folder = parser.parse_args().folder.resolve()
    print(f"{folder}: {'made' if make_digits(folder) else 'already there, left alone; remove it to make another one'}")


if __name__ == "__main__":
    exit_on_problem(main)
