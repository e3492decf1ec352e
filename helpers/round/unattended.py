"""Runs that nobody watches: they finish the rounds that they began, and leave the work of others alone.

What starts such a run says so in its environment, as `STARTED_BY`. The line `signature` then stands in the beginning
that the run keeps and in its commit, so that it is known again after a kill.
"""

import os
from contextlib import suppress

from helpers.problems import Problem
from helpers.round.state import BEFORE, POINTERS, SETTINGS, is_changed, is_open, present
from helpers.workspace import DECISION, Workspace
from helpers.workspace.stages import dvc_status

STARTED_BY = "RETRAIN_STARTED_BY"


def started_by() -> str:
    """What started this run, as in ``project 3``; empty if a person did."""
    return os.environ.get(STARTED_BY, "")


def signature(starter: str) -> str:
    """The line by which the work of a starter is known; empty for that of a person."""
    return f"Started by {starter}." if starter else ""


def require_own_work(workspace: Workspace, starter: str) -> None:
    """Raise a `Problem` if a run of this starter would publish or decline what somebody else has begun.

    That is an open round, files of a round that are changed without one, or a round that is committed but not pushed.
    """
    own = signature(starter)
    advice = "Publish or decline it. Then start the training again."
    if is_open(workspace):
        began = workspace.git("for-each-ref", "--format=%(committerdate:iso-strict)%00%(contents:body)", BEFORE)
        since, _, body = began.strip().partition("\0")
        if body != own:
            raise Problem(f"A round is open since {since}. {body or 'It was begun by hand.'}", advice=advice)
    elif is_changed(workspace) or workspace.changes(*SETTINGS):
        raise Problem(
            "Files of a round were changed by hand, and are not committed: `git status` lists them.",
            advice="Commit them, or take the changes back. Then start the training again.",
        )
    else:
        unpushed = ""
        with suppress(Problem):  # there is no upstream
            others = ["--invert-grep", "--fixed-strings", f"--grep={own}"]
            unpushed = workspace.git("rev-list", "--max-count=1", *others, "@{upstream}..HEAD", "--", DECISION).strip()
        if unpushed:
            raise Problem(f"Another round is committed, {unpushed[:7]}, but not pushed.", advice=advice)


def require_recorded_data(workspace: Workspace) -> None:
    """Raise a `Problem` if no round is open, and yet the images are not those that DVC has recorded."""
    pointers = present(workspace, *POINTERS)
    if pointers and not is_open(workspace) and (changes := dvc_status(workspace, *pointers)):
        advice = "`dvc add` and a commit keep this, `dvc checkout` takes it back. Then start the training again."
        raise Problem("The training set was changed by hand.", changes, advice)
