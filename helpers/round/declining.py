"""Keep the workspace from before a round, and give it back."""

from contextlib import suppress

from helpers.merge.apply import part_of
from helpers.pipeline.paths import RAW, SCENES
from helpers.problems import Problem
from helpers.round.state import (
    BEFORE,
    DECLINED,
    DECLINING,
    POINTERS,
    SETTINGS,
    begins_at,
    find_own_commit,
    find_round,
    find_state,
    is_changed,
    is_open,
    list_files,
    made_files,
    name_round,
    present,
    write_tree,
)
from helpers.round.tags import list_tags
from helpers.round.unattended import signature, started_by
from helpers.scenes import write_scenes
from helpers.workspace import DECISION, LINEAGE, Workspace
from helpers.workspace.locks import stop_on_locks


def remember_workspace(workspace: Workspace) -> None:
    """Keep the workspace before a round changes it, so that `decline_round` can restore it.

    If a round is open already, the workspace from before its first run stays kept.
    """
    workspace.dvc("add", *present(workspace, RAW, LINEAGE), quiet=True)
    if not is_open(workspace):
        workspace.git("update-ref", BEFORE, _commit(workspace, write_tree(workspace), "HEAD"))


def can_decline(workspace: Workspace) -> bool:
    """Whether there is a round that `decline_round` takes back."""
    return find_state(workspace) == "half declined" or is_open(workspace) or bool(find_own_commit(workspace))


def decline_round(workspace: Workspace) -> str:
    """Restore the images, model and evaluation from before the round, and say so in sentences.

    The round is one that is open, or HEAD itself if no remote has it yet: then the commit leaves the branch. Settings
    are a person's: they stay as they are. The declined round is kept, too. After a kill, the same call goes on.
    A `Problem` tells that there is no such round.
    """
    stop_on_locks(workspace)
    is_resumed = find_state(workspace) == "half declined"
    parents = [] if is_resumed else _find_beginning(workspace)
    workspace.dvc("add", *present(workspace, RAW, LINEAGE), quiet=True)
    if not is_resumed:
        workspace.git("update-ref", DECLINING, _commit(workspace, write_tree(workspace), *parents))
    # All steps from here on can be done twice.
    try:
        _give_back(workspace, f"{DECLINING}^2")
    except Problem as problem:
        _give_back(workspace, DECLINING)
        workspace.git("update-ref", "-d", DECLINING)
        headline = "Not declined: data from before the round is in neither DVC's cache nor its remote."
        advice = (
            "The round is as it was. If `dvc gc` removed the data, nothing brings it back: publish or commit the round."
        )
        raise Problem(headline, problem.details, advice) from None
    told = [f"Declined: {RAW}, the model and its evaluation are as before the round, which `{DECLINED}` keeps."]
    told += _leave_branch(workspace)
    workspace.git("reset", "--quiet", "--", *made_files(workspace))
    edited = workspace.git("diff-tree", "-r", "--name-only", "-z", f"{DECLINING}^2", DECLINING, "--", *SETTINGS)
    if edited:
        files = ", ".join(edited.split("\0")[:-1])
        told.append(f"Settings are left as they are: {files}. `{DECLINED}^2` has them as they were before the round.")
    workspace.git("update-ref", DECLINED, DECLINING)
    for ref in (BEFORE, DECLINING):
        with suppress(Problem):  # it is gone already
            workspace.git("update-ref", "-d", ref)
    return "\n".join(told)


def _find_beginning(workspace: Workspace) -> list[str]:
    """Return the parents of the commit that keeps a round to decline.

    They are the commit on which the round was made, one that keeps the workspace before it and, if it has one, the
    round's own commit.
    """
    if is_open(workspace):
        return ["HEAD", BEFORE]
    if commit := find_own_commit(workspace):
        is_merge = bool(workspace.git("diff-tree", "-r", "HEAD^", "HEAD", "--", f"{LINEAGE}.dvc"))
        before = BEFORE if is_merge and begins_at(workspace, "HEAD^") else _commit(workspace, "HEAD^^{tree}", "HEAD^")
        return ["HEAD^", before, commit]
    advice = ""
    if is_changed(workspace):
        advice = "The old model comes back with `git checkout HEAD dvc.lock evaluation` and `dvc checkout dvc.yaml`."
    elif workspace.load(DECISION, "HEAD"):
        advice = (
            f"The last one, `{name_round(workspace)}`, is pushed or below other commits. Another commit takes it back: "
            f"git revert {find_round(workspace)[0][:10]} && rm -f {LINEAGE} && dvc checkout data/*.dvc dvc.yaml"
        )
    raise Problem("There is no round to decline: nothing was merged since the last one ended.", advice=advice)


def _leave_branch(workspace: Workspace) -> list[str]:
    """Take the commit of a round off the branch, and its tag with it; all other files stay as they are."""
    with suppress(Problem):  # the round was not committed
        commit = workspace.commit_of(f"{DECLINING}^3")
        for tag in list_tags(workspace, f"--points-at={commit}"):
            workspace.git("update-ref", "-d", tag)
        if workspace.commit_of("HEAD") == commit:  # a kill may have come behind this step
            workspace.git("reset", "--quiet", "--soft", f"{DECLINING}^")
        return [f"Its commit {commit[:10]} is off the branch."]
    return []


def _give_back(workspace: Workspace, commit: str) -> None:
    """Restore the files of a round that a commit has, with the data that they point at, and remove the others."""
    made = made_files(workspace)
    kept = list(filter(None, workspace.git("ls-tree", "-r", "--name-only", "-z", commit, "--", *made).split("\0")))
    for file in set(list_files(workspace, *made)) - set(kept):
        (workspace.root / file).unlink(missing_ok=True)
    if SCENES not in kept:  # of a round of an earlier version
        write_scenes(workspace.scenes, {})
    if f"{LINEAGE}.dvc" not in kept:
        workspace.lineage.unlink(missing_ok=True)
    part_of(workspace.lineage).unlink(missing_ok=True)
    workspace.git("restore", f"--source={commit}", "--worktree", "--", *kept)
    # Check out these files only: additions to extra-data do not belong to the round.
    files = [*(file for file in POINTERS if file in kept), *(["dvc.yaml"] if "dvc.lock" in kept else [])]
    try:
        workspace.dvc("checkout", "--force", *files, quiet=True)
    except Problem:  # `dvc gc` has removed it from the cache
        with suppress(Problem):
            workspace.dvc("fetch", *files, quiet=True)
        workspace.dvc("checkout", "--force", *files, quiet=True)


def _commit(workspace: Workspace, tree: str, *parents: str) -> str:
    """Make a commit on no branch."""
    nobody = ["-c", "user.name=retrain", "-c", "user.email=retrain@localhost"]
    options = [option for parent in parents for option in ("-p", parent)]
    message = f"Files of a round\n\n{signature(started_by())}"
    return workspace.git(*nobody, "commit-tree", tree, *options, "-m", message).strip()
