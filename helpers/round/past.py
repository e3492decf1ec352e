"""The models of earlier commits."""

from contextlib import suppress
from io import BytesIO

import pandas as pd

from helpers.pipeline.model import Classifier, load_classifier
from helpers.pipeline.paths import HISTORY, INDEX, MODEL, read_table
from helpers.problems import Problem
from helpers.workspace import DECISION, Workspace


def find_baseline(workspace: Workspace, baseline: str, model: str) -> str:
    """Return the commit whose model the one in the workspace, of version `model`, is compared with.

    If ``HEAD`` holds the round's own model already, it is the commit of the model that this one has replaced: a round
    that is run again comes to the same decision.
    """
    if baseline != "HEAD":
        return workspace.commit_of(baseline)
    head, *replaced = past_models(workspace)
    # A model that was committed by hand is not the one that the decision names.
    named = workspace.load(DECISION, head).get("model") == model
    if replaced and named and workspace.read_at(head, MODEL) == (workspace.root / MODEL).read_bytes():
        return replaced[0]
    return head


def past_models(workspace: Workspace) -> list[str]:
    """Return the commit of the last model and, if its decision names it, that of the model which it has replaced."""
    head = workspace.commit_of("HEAD")
    with suppress(Problem):  # no decision is committed, or one of an older project
        return [head, workspace.commit_of(workspace.load(DECISION, head).get("replaces_commit", ""))]
    return [head]


def read_history(workspace: Workspace, revision: str) -> pd.DataFrame | None:
    """Read the learning curve of the model at a revision; None if there is none, or if it is lost."""
    with suppress(Problem):  # a chart is no reason to stop
        if history := workspace.read_at(revision, HISTORY):
            return pd.read_csv(BytesIO(history))
    return None


def load_past(workspace: Workspace, commit: str) -> tuple[Classifier | None, pd.DataFrame | None]:
    """Load the model of a commit and the index of its images; None in place of one that the commit does not have."""
    model, index = workspace.read_at(commit, MODEL), workspace.read_at(commit, INDEX)
    classifier = load_classifier(model, f"{MODEL} of {commit[:7]}") if model else None
    return classifier, read_table(index) if index else None
