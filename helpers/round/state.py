"""How far a round is: open, committed, or published."""

import hashlib
from contextlib import suppress

from helpers.merge.apply import part_of
from helpers.pipeline.paths import BACKBONES, METRICS, PARAMS, RAW
from helpers.problems import Problem
from helpers.round.record import read_decision
from helpers.workspace import DECISION, LINEAGE, Workspace

POINTERS = (f"{RAW}.dvc", f"{LINEAGE}.dvc")
REPORT = ("evaluation/report.md", "evaluation/difference.png")
SETTINGS = (PARAMS, BACKBONES)
BEFORE = "refs/worktree/retrain/before"  # the workspace before the round that is open
TAGS = "model/v*"
REMOTE_TAGS = "refs/retrain"  # all tags that the remote has shown: a fetch neither removes them nor those of a person


def made_files(workspace: Workspace) -> list[str]:
    """List the files of git that a round writes; DVC tracks the data itself."""
    kinds = [stage.get(kind, []) for stage in workspace.stages() for kind in ("outs", "metrics", "plots")]
    options = [out.items() for outs in kinds for out in outs if isinstance(out, dict)]
    of_stages = [file for items in options for file, option in items if option and option.get("cache") is False]
    return list(dict.fromkeys([*POINTERS, "dvc.lock", DECISION, METRICS, *REPORT, *of_stages]))


def round_files(workspace: Workspace) -> list[str]:
    """List the files that a round's commit may hold: those that it writes, and its settings."""
    return [*made_files(workspace), *SETTINGS]


def is_open(workspace: Workspace) -> bool:
    """Whether a merge has begun that no commit has ended, and that is still there: people undo one by hand, too."""
    with suppress(Problem):  # no round has begun, or its beginning is not in this history
        if not workspace.git("diff-tree", "-r", "--name-only", f"{BEFORE}^", "HEAD", "--", *made_files(workspace)):
            return part_of(workspace.lineage).exists() or not _has_lineage_of_head(workspace)
    return False


def _has_lineage_of_head(workspace: Workspace) -> bool:
    """Whether data/labels.csv is that of the last commit; every merge writes another one."""
    committed = workspace.load(f"{LINEAGE}.dvc", "HEAD").get("outs", [{}])[0].get("md5")
    lineage = workspace.lineage
    return committed == (hashlib.md5(lineage.read_bytes()).hexdigest() if lineage.exists() else None)


def is_changed(workspace: Workspace) -> bool:
    """Whether the files of a round differ from the last commit."""
    return bool(workspace.changes(*present(workspace, *round_files(workspace))))


def is_pending(workspace: Workspace) -> bool:
    """Whether a round is open, or something that makes a model changed, or a round is committed but not pushed."""
    return is_open(workspace) or is_changed(workspace) or bool(_is_ahead(workspace))


def is_published(workspace: Workspace) -> bool:
    """Whether the files of the round are committed, and the branch's upstream has the commit."""
    return not is_changed(workspace) and _is_ahead(workspace) is False


def _is_ahead(workspace: Workspace) -> bool | None:
    """Whether the branch's upstream lacks the commit of a round; None if there is no upstream."""
    with suppress(Problem):
        return bool(workspace.git("rev-list", "--max-count=1", "@{upstream}..HEAD", "--", DECISION))
    return None


def tell_state(workspace: Workspace) -> str:
    """Say whether the round in the workspace is open, committed or published, and which step fits next."""
    if is_changed(workspace):
        decline = ", `-p decline True` gives back the workspace from before it" if is_open(workspace) else ""
        if read_decision(workspace)["accepted"]:
            return f"The round is open. papermill's `-p publish True` publishes it{decline}."
        anyway = "`-p publish True -r publish_anyway '<why>'` publishes it all the same"
        return f"The round is open, its model not accepted: see the failed rules. papermill's {anyway}{decline}."
    commit, tag = find_round(workspace)
    name = tag or workspace.git("rev-parse", "--short", commit).strip()
    if is_published(workspace):
        return f"The round is published: `{name}`. Next, `notebooks/label.ipynb` sends more images to label."
    return f"The round is committed, `{name}`, but not pushed: papermill's `-p publish True` pushes it."


def find_round(workspace: Workspace) -> tuple[str, str]:
    """Return the commit of the last round and the name of its tag, empty if it has none."""
    commit = workspace.git("rev-list", "--max-count=1", "HEAD", "--", DECISION).strip() or "HEAD"
    return commit, next(map(name_tag, list_tags(workspace, f"--points-at={commit}")), "")


def list_tags(workspace: Workspace, *options: str) -> list[str]:
    """List the refs of the tags of models: those that the remote has shown come before those that are here."""
    places = f"{REMOTE_TAGS}/{TAGS}", f"refs/tags/{TAGS}"
    return workspace.git("for-each-ref", "--format=%(refname)", *options, *places).split()


def name_tag(ref: str) -> str:
    """The name of a tag that `list_tags` lists."""
    return ref.split("/", 2)[2]


def present(workspace: Workspace, *paths: str) -> list[str]:
    """Keep the paths that exist."""
    return [path for path in paths if (workspace.root / path).exists()]
