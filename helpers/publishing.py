"""End a labelling round: publish it with DVC and git, or give back the workspace that was there before."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.lineage import count_changes, parse_lineage, read_lineage
from helpers.problems import Problem
from helpers.workspace import DECISION, LINEAGE, RAW, Workspace

# What git remembers of a round. The data itself is DVC's.
FILES = (f"{RAW}.dvc", f"{LINEAGE}.dvc", "dvc.lock", "params.yaml", "evaluation")
BEFORE = "refs/retrain/before"


def remember_workspace(workspace: Workspace) -> None:
    """Keep what a round is about to change, so that `decline_round` can give it back.

    The images go into DVC's cache; the files that point at them into a commit that no branch shows. A round that is
    still open keeps what was there before its first run.
    """
    workspace.dvc("add", *_tracked_data(workspace), quiet=True)
    head = workspace.git("rev-parse", "HEAD").strip()
    with suppress(Problem):  # no round is open
        if workspace.git("rev-parse", "--verify", "--quiet", f"{BEFORE}^").strip() == head:
            return
    with tempfile.TemporaryDirectory() as folder:
        apart = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        workspace.git("add", "--", *_present(workspace), environment=apart)
        tree = workspace.git("write-tree", environment=apart).strip()
    nobody = ["-c", "user.name=retrain", "-c", "user.email=retrain@localhost"]
    commit = workspace.git(*nobody, "commit-tree", tree, "-p", head, "-m", "Before the round").strip()
    workspace.git("update-ref", BEFORE, commit)


def decline_round(workspace: Workspace) -> None:
    """Give back the workspace that was there before the merge: images, model, evaluation.

    What is there now goes into DVC's cache first, so nothing is deleted that cannot be had again.

    Raises
    ------
    Problem
        No round is open.
    """
    try:
        before = workspace.git("ls-tree", "-r", "--name-only", "-z", BEFORE).rstrip("\0").split("\0")
    except Problem:
        raise Problem("There is no round to decline: nothing was merged since the last one ended.") from None
    workspace.dvc("add", *_tracked_data(workspace), quiet=True)
    now = workspace.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *FILES).split("\0")
    for file in set(filter(None, now)) - set(before):
        (workspace.root / file).unlink(missing_ok=True)
        if file == f"{LINEAGE}.dvc":
            (workspace.root / LINEAGE).unlink()
    workspace.git("restore", f"--source={BEFORE}", "--worktree", "--", *before)
    # Not all that DVC tracks: what came to extra-data since is not the round's.
    workspace.dvc("checkout", *filter(lambda file: file.endswith(".dvc"), before), "dvc.yaml", quiet=True)
    workspace.git("update-ref", "-d", BEFORE)


def publish_round(workspace: Workspace, plan: pd.DataFrame, decision: dict[str, Any], anyway: str = "") -> list[str]:
    """Push the data to DVC's remote, commit the files of the round, tag an accepted model, and push that.

    In this order, so that git's remote never points at data that DVC's does not have. What cannot be done for want of
    a remote is said; what fails can be done later by calling this again. Nothing else in the index or the working
    tree is committed.

    Parameters
    ----------
    workspace : Workspace
    plan : DataFrame
        From `dataset.plan_merge`.
    decision : dict
        From `rounds.record_decision`.
    anyway : str
        Why a model that is not accepted is published all the same. Goes into the commit message.

    Returns
    -------
    list of str
        What was done and what was not, in sentences.

    Raises
    ------
    Problem
        The model is not accepted, no branch is checked out, or a push, a hook or the commit failed.
    """
    if not decision["accepted"] and not anyway:
        raise Problem(
            "Not published: the model is not accepted.",
            [rule["explanation"] for rule in decision["rules"] if not rule["passed"]],
            "To publish it all the same, say why with the parameter `publish_anyway`.",
        )
    branch = workspace.git("branch", "--show-current").strip()
    if not branch:
        raise Problem("Not published: no branch is checked out.", advice="`git switch -c <name>` makes one.")
    stored = bool(workspace.dvc_remote())
    done = []
    if stored:
        workspace.push_data()
        done.append(f"The data is in DVC's remote `{workspace.dvc_remote()}`.")
    done.append(_commit(workspace, plan, decision, anyway))
    remote = _upstream_of(workspace, branch)
    if not stored:
        done.append("Not pushed: DVC has no remote. `dvc remote add --default <name> <url>` adds one; then again.")
    elif not remote:
        done.append(f"Not pushed: `{branch}` has no upstream. `git push --set-upstream <remote> {branch}` sets one.")
    else:
        workspace.git("push", "--follow-tags", remote, branch)
        done.append(f"`{branch}` is pushed to `{remote}`.")
    return done


def _commit(workspace: Workspace, plan: pd.DataFrame, decision: dict[str, Any], anyway: str) -> str:
    files = _present(workspace)
    workspace.git("add", "--", *files)
    if workspace.git("status", "--porcelain", "--", *files):
        headline = _describe_round(workspace, plan)
        reason = [f"Not accepted, published because: {anyway}"] if not decision["accepted"] else []
        message = "\n\n".join([headline, decision["sentence"], *reason])
        workspace.git("commit", "--quiet", "--message", message, "--only", "--", *files)
        done = f"Committed: {headline}."
    else:
        done = "Nothing to commit: this round is committed already."
    with suppress(Problem):
        workspace.git("update-ref", "-d", BEFORE)
    return f"{done} {_tag(workspace, decision)}".rstrip()


def _describe_round(workspace: Workspace, plan: pd.DataFrame) -> str:
    # The plan of a second run keeps what the first one added.
    committed = parse_lineage(workspace.read_at("HEAD", LINEAGE))
    added, moved = count_changes(committed, read_lineage(workspace.root / LINEAGE))
    return f"Retrain: images {added} added, {moved} moved, {plan['action'].eq('leave out').sum()} left out"


def _tag(workspace: Workspace, decision: dict[str, Any]) -> str:
    """Give the commit of an accepted model its tag, unless it has one: an earlier run may have ended before this."""
    commit = workspace.git("log", "-1", "--format=%H", "--", DECISION).strip()
    if not decision["accepted"] or workspace.git("tag", "--points-at", commit, "--list", "model/v*"):
        return ""
    numbers = workspace.git("tag", "--list", "model/v*").replace("model/v", "").split()
    tag = f"model/v{max(map(int, filter(str.isdigit, numbers)), default=0) + 1}"
    workspace.git("tag", "--annotate", "--message", decision["sentence"], tag, commit)
    return f"Tagged `{tag}`."


def _upstream_of(workspace: Workspace, branch: str) -> str:
    with suppress(Problem):
        return workspace.git("config", f"branch.{branch}.remote").strip()
    return ""


def _tracked_data(workspace: Workspace) -> list[str]:
    return [path for path in (RAW, LINEAGE) if (workspace.root / path).exists()]


def _present(workspace: Workspace) -> list[str]:
    return [file for file in FILES if (workspace.root / file).exists()]
