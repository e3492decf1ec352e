"""Compare the models of a workspace, and read the tables and draw the plots that go with it."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from helpers.comparison.scores import Comparison, score_images
from helpers.merge.lineage import read_lineage
from helpers.pipeline.model import load_classifier
from helpers.pipeline.paths import HISTORY, INDEX, MODEL, NEAR_DUPLICATES, read_table
from helpers.round.past import find_baseline, load_past, read_history
from helpers.workspace import Workspace


def compare_models(workspace: Workspace, baseline: str = "HEAD") -> Comparison:
    """Let the model in the workspace and the one at `baseline` (see `find_baseline`) predict today's held-out images.

    A `Problem` tells that there is no such revision, or that neither DVC's cache nor its remote has the model of it.
    """
    index = read_table((workspace.root / INDEX).read_bytes())
    held_out = index[index["split"] == "held-out"]
    new = load_classifier((workspace.root / MODEL).read_bytes(), MODEL)
    commit = find_baseline(workspace, baseline)
    old, old_index = load_past(workspace, commit)
    scores = score_images(
        held_out,
        new.predict(workspace.root, workspace.raw, held_out),
        old.predict(workspace.root, workspace.raw, held_out) if old else None,
        old_index,
    )
    lineage = read_lineage(workspace.lineage)
    trained_on = int(new.description.trained_on.get("images", 0))
    return Comparison(scores, lineage, new.version, old.version if old else "", commit, trained_on)


def read_histories(workspace: Workspace, comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read the learning curves of the new model and, if there is one, of the old model."""
    return pd.read_csv(workspace.root / HISTORY), read_history(workspace, comparison.baseline)


def read_near_duplicates(workspace: Workspace) -> pd.DataFrame:
    """Read the held-out images that nearly equal a training image, as the stage ``prepare`` found them."""
    return read_table((workspace.root / NEAR_DUPLICATES).read_bytes())


def draw_plots(workspace: Workspace, comparison: Comparison) -> Future[str]:
    """Let ``dvc plots diff`` write its page in the background; the result is its path from the working folder."""

    def draw() -> str:
        old = workspace.git("describe", "--tags", "--always", comparison.baseline).strip()  # its name in the legends
        workspace.dvc("plots", "diff", old, quiet=True)
        return Path(os.path.relpath(workspace.root / "dvc_plots/index.html")).as_posix()

    return ThreadPoolExecutor(max_workers=1).submit(draw)
