"""Keep the workspace from before a round, and give it back."""

import tempfile

from helpers.merge.apply import part_of
from helpers.pipeline.paths import RAW
from helpers.problems import Problem
from helpers.round.state import BEFORE, is_open, made_files, present, round_files
from helpers.round.unattended import signature, started_by
from helpers.workspace import LINEAGE, Workspace

DECLINED = "refs/worktree/retrain/declined"  # the last round that was declined


def remember_workspace(workspace: Workspace) -> None:
    """Keep the workspace before a round changes it, so that `decline_round` can restore it.

    If a round is open already, the workspace from before its first run stays kept.
    """
    workspace.dvc("add", *present(workspace, RAW, LINEAGE), quiet=True)
    if not is_open(workspace):
        _keep(workspace, BEFORE)


def decline_round(workspace: Workspace) -> str:
    """Restore the images, settings, model and evaluation from before the merge, and say so in a sentence.

    The declined round is kept, too. Settings that were committed since, and new files of backbones, stay as they are. A
    `Problem` tells that no round is open.
    """
    if not is_open(workspace):
        raise Problem("There is no round to decline: nothing was merged since the last one ended.")
    workspace.dvc("add", *present(workspace, RAW, LINEAGE), quiet=True)
    _keep(workspace, DECLINED)
    files = round_files(workspace)
    workspace.git("reset", "--quiet", "--", *files)
    settled = _names(workspace.git("diff-tree", "-r", "--name-only", "-z", f"{BEFORE}^", "HEAD", "--", *files))
    try:
        _give_back(workspace, BEFORE, settled)
    except Problem as problem:
        _give_back(workspace, DECLINED, set())
        advice = "If `dvc gc` removed them, nothing brings them back: end the round by publishing or committing it."
        headline = "Not declined: DVC's cache lacks data from before the round. The round is as it was."
        raise Problem(headline, problem.details, advice) from None
    workspace.git("update-ref", "-d", BEFORE)
    return f"Declined: {RAW}, the model and its evaluation are as they were before the round, which `{DECLINED}` keeps."


def _give_back(workspace: Workspace, ref: str, settled: set[str]) -> None:
    """Restore the files that a ref keeps, apart from `settled` ones, and remove those that a round has made since."""
    made = made_files(workspace)
    kept = _names(workspace.git("ls-tree", "-r", "--name-only", "-z", ref))
    there = _names(workspace.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *made))
    for file in there - kept:
        (workspace.root / file).unlink(missing_ok=True)
        if file == f"{LINEAGE}.dvc":
            workspace.lineage.unlink(missing_ok=True)
    part_of(workspace.lineage).unlink(missing_ok=True)
    workspace.git("restore", f"--source={ref}", "--worktree", "--", *(kept - settled))
    # Check out these files only: additions to extra-data do not belong to the round.
    pointers = [file for file in kept if file.endswith(".dvc")]
    workspace.dvc("checkout", *pointers, *(["dvc.yaml"] if "dvc.lock" in kept else []), quiet=True)


def _keep(workspace: Workspace, ref: str) -> None:
    """Let a git ref, which is on no branch, keep the files of a round as they are; DVC's cache has the data."""
    with tempfile.TemporaryDirectory() as folder:
        index = f"{folder}/index"
        workspace.git("add", "--", *present(workspace, *round_files(workspace)), GIT_INDEX_FILE=index)
        tree = workspace.git("write-tree", GIT_INDEX_FILE=index).strip()
    nobody = ["-c", "user.name=retrain", "-c", "user.email=retrain@localhost"]
    message = f"Files of a round\n\n{signature(started_by())}"
    commit = workspace.git(*nobody, "commit-tree", tree, "-p", "HEAD", "-m", message).strip()
    workspace.git("update-ref", ref, commit)


def _names(output: str) -> set[str]:
    return set(output.split("\0")) - {""}
