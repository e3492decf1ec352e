"""The embedded sample: a ready workspace made from scikit-learn's handwritten digits.

    python -m examples.sample demo

makes ``demo`` (a clone of this repository with 400 labelled digits, a trained baseline, and 1,000 more digits that come
back from a labelling round), and beside it ``demo.git`` and ``demo-storage``, its git and DVC remotes.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from helpers.problems import Problem, exit_on_problem
from helpers.workspace import EXTRA, RAW, Workspace

PROJECT = Path(__file__).resolve().parents[1]
LABELLED, TO_LABEL = 400, 1000
UNLABELLED, AGREED, DISPUTED = 40, 25, 6  # of the images to label; one more is submitted empty


def make_sample(folder: Path) -> bool:
    """Make the sample workspace on disk; see `make_workspace`."""
    return make_workspace(folder, write_digits, f"Add {LABELLED} labelled digits and train the baseline")


def make_workspace(folder: Path, write_images: Callable[[Path], None], message: str) -> bool:
    """Make a workspace on disk with its images, remotes and a committed baseline; one that is there is left alone.

    Parameters
    ----------
    folder : Path
        The workspace to make. Its remotes lie beside it.
    write_images : callable
        Takes the workspace's path and fills its data/raw and extra-data.
    message : str
        Of the commit that holds the baseline.

    Returns
    -------
    bool
        Whether it was made.

    Raises
    ------
    Problem
        `folder` is something else.
    """
    if (folder / "dvc.yaml").exists():
        return False
    if folder.exists():
        raise Problem(f"{folder} is there already and is no workspace.", advice="Name another folder.")
    # Under another name until it is whole: one that was interrupted is made anew.
    building = folder.with_name(f"{folder.name}.part")
    git_remote, storage = folder.with_name(f"{folder.name}.git"), folder.with_name(f"{folder.name}-storage")
    for leftover in (building, git_remote, storage):
        shutil.rmtree(leftover, ignore_errors=True)

    _clone_project(building)
    write_images(building)
    workspace = Workspace(building)
    workspace.git("init", "--quiet", "--bare", "--initial-branch=main", str(git_remote))
    workspace.git("remote", "add", "origin", f"../{git_remote.name}")
    _be_somebody(workspace)
    workspace.dvc("remote", "add", "--force", "--default", "storage", f"../{storage.name}", quiet=True)
    workspace.dvc("add", RAW, EXTRA, quiet=True)
    workspace.reproduce()
    workspace.git("add", "--all")
    workspace.git("commit", "--quiet", "--message", message)
    workspace.dvc("push", quiet=True)
    workspace.git("push", "--quiet", "--set-upstream", "origin", "HEAD:main")
    building.rename(folder)
    return True


def _clone_project(target: Path) -> None:
    """Clone the project, with what is not committed yet; where it is a downloaded archive, start a history."""
    if (PROJECT / ".git").exists():
        subprocess.run(["git", "clone", "--quiet", PROJECT, target], check=True)
        subprocess.run(["git", "checkout", "--quiet", "-B", "main"], cwd=target, check=True)
        subprocess.run(["git", "remote", "remove", "origin"], cwd=target, check=True)
    else:
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", target], check=True)
    listed = ["git", f"--git-dir={target / '.git'}", f"--work-tree={PROJECT}"]
    listed += ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.split("\0")
    for file in filter(lambda name: (PROJECT / name).is_file(), files):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / file, target / file)


def _be_somebody(workspace: Workspace) -> None:
    for key, value in (("user.name", "Sample"), ("user.email", "sample@example.com")):
        try:
            workspace.git("config", key)
        except Problem:
            workspace.git("config", key, value)


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
    rows = json.dumps(_label(tasks, chance), indent=2).replace("/", "\\/")
    (folder / EXTRA / "annotations.json").write_text(rows + "\n", encoding="utf-8")


def _label(tasks: list[tuple[str, str]], chance: np.random.Generator) -> list[dict[str, object]]:
    """A JSON-MIN export with all tasks, after two people went through `tasks`: image references and true labels."""
    clock = datetime(2026, 1, 5, 9, tzinfo=UTC)
    rows: list[dict[str, object]] = []
    fate = np.repeat(["unlabelled", "empty", "agreed", "disputed"], [UNLABELLED, 1, AGREED, DISPUTED])
    fate = chance.permutation(np.append(fate, ["labelled"] * (len(tasks) - len(fate))))
    for task, (image, label) in enumerate(tasks, start=1):
        wrong = str((int(label) + 1) % 10)
        picks = {"agreed": [label, label], "disputed": [label, wrong], "labelled": [label]}.get(fate[task - 1], [""])
        for pick in picks:
            row: dict[str, object] = {"image": image, "id": task, "annotator": None, "annotation_id": None}
            row |= {"created_at": None, "updated_at": None, "lead_time": None}
            if fate[task - 1] != "unlabelled":
                seconds = round(float(chance.gamma(4, 0.8)), 3)
                clock += timedelta(seconds=seconds)
                stamp = clock.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                row |= {"choice": pick} if pick else {}
                row |= {"annotator": 1 + (len(rows) % 2), "annotation_id": len(rows) + 1}
                row |= {"created_at": stamp, "updated_at": stamp, "lead_time": seconds}
            rows.append(row)
    return rows


def main() -> None:
    """Make the sample where the command line says."""
    parser = argparse.ArgumentParser(description="Make a sample workspace.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"))
    folder = parser.parse_args().folder.resolve()
    print(f"{folder}: {'made' if make_sample(folder) else 'already there, left alone'}")


if __name__ == "__main__":
    exit_on_problem(main)
