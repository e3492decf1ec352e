"""The models of earlier commits."""

from contextlib import suppress
from io import BytesIO

import pandas as pd

from helpers.pipeline.model import Classifier, load_classifier
from helpers.pipeline.paths import HISTORY, INDEX, MODEL, read_table
from helpers.problems import Problem
from helpers.round.record import read_decision
from helpers.workspace import Workspace

CURVES = {"epoch": int, "loss": float, "accuracy": float, "held_out_loss": float, "held_out_accuracy": float}


def find_baseline(workspace: Workspace, baseline: str) -> str:
    """Return the commit whose model the one in the workspace is compared with.

    If ``HEAD`` holds the round's own model already, it is the commit of the model before: a round that is run again
    comes to the same decision, and no model is compared with itself.
    """
    if baseline != "HEAD":
        return workspace.commit_of(baseline)
    head, *before = past_models(workspace)
    is_committed = workspace.read_at(head, MODEL) == (workspace.root / MODEL).read_bytes()
    return before[0] if is_committed and before else head


def past_models(workspace: Workspace) -> list[str]:
    """Return ``HEAD`` and, if another model came before the one there, the commit of that."""
    head = workspace.commit_of("HEAD")
    replaced = read_decision(workspace, head).replaces_commit
    with suppress(Problem):  # nobody has the models before any more
        last = workspace.read_at(head, MODEL)
        commits = workspace.git("rev-list", "HEAD", "--", "dvc.lock").split()
        before = next((commit for commit in commits if workspace.read_at(commit, MODEL) != last), "")
        if before:
            return [head, _same_model(workspace, before, replaced)]
    return [head]


def _same_model(workspace: Workspace, commit: str, named: str) -> str:
    """Return the commit that a decision names if it has the model of another commit, else that other one."""
    with suppress(Problem):  # it is not in this history
        if workspace.read_at(named, MODEL) == workspace.read_at(commit, MODEL):
            return workspace.commit_of(named)
    return commit


def read_history(workspace: Workspace, revision: str) -> pd.DataFrame | None:
    """Read the learning curve of the model at a revision; None if there is none, or if it is lost or damaged."""
    with suppress(Problem, ValueError, KeyError):  # a chart is no reason to stop
        if history := workspace.read_at(revision, HISTORY):
            return pd.read_csv(BytesIO(history)).astype(CURVES)
    return None


def load_past(workspace: Workspace, commit: str) -> tuple[Classifier | None, pd.DataFrame | None]:
    """Load the model of a commit and the index of its images; None in place of one that the commit does not have."""
    model, index = workspace.read_at(commit, MODEL), workspace.read_at(commit, INDEX)
    classifier = load_classifier(model, f"{MODEL} of {commit[:7]}") if model else None
    return classifier, read_table(index) if index else None


def name_as_today(old_index: pd.DataFrame, index: pd.DataFrame) -> pd.Series:
    """Name the scene of each image of an earlier index as today's does; an image that is gone keeps its own.

    Both have a row per image: ``sha256`` and, where scenes are named, ``scene``. Else an image's content is its scene.
    """
    then, now = (table.get("scene", table["sha256"]) for table in (old_index, index))
    return old_index["sha256"].map(dict(zip(index["sha256"], now, strict=True))).fillna(then)


def load_committed(workspace: Workspace, commit: str = "HEAD") -> Classifier:
    """Load the model that a commit holds; a `Problem` if it holds none."""
    commit = workspace.commit_of(commit)
    content = workspace.read_at(commit, MODEL)
    if content is None:
        raise Problem(f"The last commit, {commit[:7]}, has no model.")
    return load_classifier(content, f"{MODEL} of {commit[:7]}")
