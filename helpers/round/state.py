"""How far a round is: not begun, open, committed, published or declined."""

import hashlib
import tempfile
from contextlib import suppress
from typing import Literal

from helpers.merge.apply import part_of
from helpers.pipeline.paths import BACKBONES, METRICS, PARAMS, RAW, SCENES
from helpers.problems import Problem
from helpers.round.record import read_decision
from helpers.round.tags import list_tags, name_tag
from helpers.workspace import DECISION, LINEAGE, Workspace

POINTERS = (f"{RAW}.dvc", f"{LINEAGE}.dvc")
REPORT = ("evaluation/report.md", "evaluation/difference.png")
SETTINGS = (PARAMS, BACKBONES)
# Commits on no branch, which keep the files of a round. DVC's cache has the data that they point at.
BEFORE = "refs/worktree/retrain/before"  # the workspace before the last round; its parent is HEAD at that time
DECLINING = "refs/worktree/retrain/declining"  # the round that is being declined, until its last step is done
DECLINED = "refs/worktree/retrain/declined"  # the last round that was declined

State = Literal["not begun", "open", "committed", "published", "half declined", "declined"]


def made_files(workspace: Workspace) -> list[str]:
    """List the files of git that a round writes; DVC tracks the data itself."""
    stages = workspace.load("dvc.yaml").get("stages", {}).values()
    kinds = [stage.get(kind, []) for stage in stages for kind in ("outs", "metrics", "plots")]
    options = [out.items() for outs in kinds for out in outs if isinstance(out, dict)]
    of_stages = [file for items in options for file, option in items if option and option.get("cache") is False]
    return list(dict.fromkeys([*POINTERS, SCENES, "dvc.lock", DECISION, METRICS, *REPORT, *of_stages]))


def list_files(workspace: Workspace, *places: str, **variables: str) -> list[str]:
    """List the files at these places that git tracks, deleted ones included, or that it could track."""
    output = workspace.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *places, **variables)
    return list(dict.fromkeys(filter(None, output.split("\0"))))


def write_tree(workspace: Workspace) -> str:
    """Return git's tree of the last commit, but with the files and settings of a round as they are now."""
    with tempfile.TemporaryDirectory() as folder:
        index = f"{folder}/index"
        workspace.git("read-tree", "HEAD", GIT_INDEX_FILE=index)
        files = list_files(workspace, *made_files(workspace), *SETTINGS, GIT_INDEX_FILE=index)
        workspace.git("add", "--all", "--", *files, GIT_INDEX_FILE=index)
        return workspace.git("write-tree", GIT_INDEX_FILE=index).strip()


def find_state(workspace: Workspace) -> State:
    """Tell how far the last round is. Settings that no stage has read yet, and comments there, begin no round."""
    if workspace.git("for-each-ref", DECLINING):
        return "half declined"
    if is_open(workspace):
        return "open"
    if _is_as_declined(workspace):
        return "declined"
    if is_changed(workspace):
        return "open"
    if not workspace.load(DECISION, "HEAD"):
        return "not begun"
    return "published" if _is_ahead(workspace) is False else "committed"


def is_open(workspace: Workspace) -> bool:
    """Whether a merge has begun that no commit has ended, and that is still there: people undo one by hand, too."""
    has_begun = begins_at(workspace, "HEAD")
    return has_begun and (part_of(workspace.lineage).exists() or not _has_records_of_head(workspace))


def begins_at(workspace: Workspace, commit: str) -> bool:
    """Whether the workspace before the last round is kept, and a commit has the same round before it."""
    # The record of scenes came with a later version, perhaps in the middle of a round.
    made = [file for file in made_files(workspace) if file != SCENES]
    with suppress(Problem):  # no round has begun, or its beginning is not in this history
        return not workspace.git("diff-tree", "-r", f"{BEFORE}^", commit, "--", *made)
    return False


def _has_records_of_head(workspace: Workspace) -> bool:
    """Whether data/labels.csv and data/scenes.csv are those of the last commit; every merge changes one of them."""
    committed = workspace.load(f"{LINEAGE}.dvc", "HEAD").get("outs", [{}])[0].get("md5")
    lineage = workspace.lineage
    is_same = committed == (hashlib.md5(lineage.read_bytes()).hexdigest() if lineage.exists() else None)
    return is_same and not workspace.changes(SCENES)


def _is_as_declined(workspace: Workspace) -> bool:
    """Whether the workspace is as the last decline has left it, apart from settings."""
    with suppress(Problem):  # no round was declined, or it is not in this history
        made = made_files(workspace)
        if not workspace.git("rev-list", "--max-count=1", f"{DECLINED}^..HEAD", "--", *made):
            return not workspace.git("diff-tree", "-r", f"{DECLINED}^2", write_tree(workspace), "--", *made)
    return False


def is_changed(workspace: Workspace) -> bool:
    return bool(workspace.changes(*made_files(workspace)))


def is_pending(workspace: Workspace) -> bool:
    """Whether a round is open, or settings changed that may make another model, or a round waits to be pushed."""
    has_settings = workspace.load(PARAMS) == workspace.load(PARAMS, "HEAD")
    is_same = has_settings and not workspace.changes(BACKBONES)
    return not is_same or find_state(workspace) == "open" or bool(_is_ahead(workspace))


def _is_ahead(workspace: Workspace) -> bool | None:
    """Whether the branch's upstream lacks the commit of a round; None if there is no upstream."""
    with suppress(Problem):
        return bool(workspace.git("rev-list", "--max-count=1", "@{upstream}..HEAD", "--", DECISION))
    return None


def tell_state(workspace: Workspace) -> str:
    """Say in a sentence how far the round is, and which step fits next."""
    state = find_state(workspace)
    if state == "half declined":
        return "The round is half declined. The next run goes on with that; papermill's `-p decline True` ends there."
    if state == "declined":
        return f"The round is declined; `{DECLINED}` keeps it. Run the notebook from its top to begin another one."
    if state == "not begun":
        return "No round has begun: nothing was merged or trained since the last commit."
    if state == "open":
        decline = ", `-p decline True` gives back the workspace from before it" if is_open(workspace) else ""
        if read_decision(workspace).accepted:
            return f"The round is open. papermill's `-p publish True` publishes it{decline}."
        anyway = "`-p publish True -r publish_anyway '<why>'` publishes it all the same"
        return f"The round is open, its model not accepted: see the failed rules. papermill's {anyway}{decline}."
    name = name_round(workspace)
    if state == "published":
        return f"The round is published: `{name}`. The next export of labels begins another one."
    decline = ", `-p decline True` takes it back" if find_own_commit(workspace) else ""
    return f"The round is committed, `{name}`, but not pushed: papermill's `-p publish True` pushes it{decline}."


def find_round(workspace: Workspace) -> tuple[str, str]:
    """Return the commit that brought the decision of `HEAD`, and the name of its tag, empty if it has none.

    A revert brings an earlier decision back, which is still that of its own commit.
    """
    commit = "HEAD"
    with suppress(Problem):  # no round was committed
        decision = workspace.git("rev-parse", "--verify", "--quiet", f"HEAD:{DECISION}").strip()
        commits = workspace.git("log", "--format=%H", f"--find-object={decision}", "--", DECISION)
        commit = commits.split()[-1]
    return commit, next(map(name_tag, list_tags(workspace, f"--points-at={commit}")), "")


def name_round(workspace: Workspace) -> str:
    """Name the last round by its tag or its commit."""
    commit, tag = find_round(workspace)
    return tag or workspace.git("rev-parse", "--short", commit).strip()


def find_own_commit(workspace: Workspace) -> str:
    """Return the commit of the last round if it can be taken back: it is HEAD, and no remote has it; else nothing."""
    head, *parents = workspace.git("rev-list", "--parents", "--max-count=1", "HEAD").split()
    is_alone = len(parents) == 1 and find_round(workspace)[0] == head and not is_changed(workspace)
    return head if is_alone and not workspace.git("for-each-ref", f"--contains={head}", "refs/remotes") else ""


def present(workspace: Workspace, *paths: str) -> list[str]:
    """Keep the paths that exist."""
    return [path for path in paths if (workspace.root / path).exists()]
