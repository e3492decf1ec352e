"""The whole way, as a user would see it: the notebook with training, again without, and the pipeline alone.

Measured on the planets where they are beside the project: an image set with a labelling round, ``raw/<label>/…`` (the
training set), ``extra/…`` (images labelled since) and ``exports/round1.JSON_MIN.json`` (its labels). Elsewhere on the
embedded sample.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from examples.digits import write_digits
from examples.workspace import make_workspace
from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace

PLANETS = Path(__file__).resolve().parents[2] / "shared" / "planets"
PAPERMILL = [sys.executable, "-m", "papermill", "--log-level", "ERROR", "--no-progress-bar"]


def write_round(source: Path, folder: Path) -> None:
    """Copy an image set and its labelling round into a workspace."""
    for part, target in (("raw", "data/raw"), ("extra", "extra-data")):
        shutil.copytree(source / part, folder / target, copy_function=shutil.copyfile)
    shutil.copyfile(source / "exports/round1.JSON_MIN.json", folder / "extra-data/annotations.json")


def seconds(command: list[str], folder: Path) -> float:
    """How long a command takes as a whole process."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(workspace: Workspace) -> None:
    """Run the notebook twice, and the pipeline alone on the merged images."""
    notebook = [*PAPERMILL, "notebooks/retrain.ipynb", "out.ipynb"]
    first, second = seconds(notebook, workspace.root), seconds(notebook, workspace.root)
    metrics = json.loads((workspace.root / "evaluation/metrics.json").read_text(encoding="utf-8"))
    print(f"{'held-out accuracy of the retrained model':42}{metrics['accuracy']:8.2%} of {metrics['images']} images")
    print(f"the notebook, with training               {first:8.1f} s")
    print(f"the notebook again, nothing changed       {second:8.1f} s  ({second / first:.0%} of the first)")

    workspace.git("checkout", "--quiet", "dvc.lock")
    shutil.rmtree(workspace.root / ".dvc/cache/runs", ignore_errors=True)  # or DVC takes the results from there
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    os.environ.update(path)
    repro = seconds([sys.executable, "-m", "dvc", "repro"], workspace.root)
    print(f"`dvc repro` after the merge               {repro:8.1f} s  ({repro / first:.0%} of the notebook)")
    print(f"the model's file                          {(workspace.root / MODEL).stat().st_size / 1000:8.0f} kB")


def make_benchmark(folder: Path) -> Workspace:
    """Make a workspace with a labelling round in a folder."""
    planets = PLANETS.is_dir()
    make_workspace(
        folder / "workspace", partial(write_round, PLANETS) if planets else write_digits, "Train the baseline"
    )
    print(f"on {'the planets' if planets else 'the embedded sample'}")
    return Workspace(folder / "workspace")


def main(folder: Path) -> None:
    """Make a workspace and measure in it."""
    measure(make_benchmark(folder))
