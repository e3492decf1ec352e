"""Whole rounds where git or DVC is set up in another way: published, then one that is declined."""

import json
from collections.abc import Callable

import pytest
from notebook_runs import run_notebook
from round_steps import colleague_of, images_of, tree_of

from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace


def with_links(tiny: Workspace) -> Workspace:
    """DVC links the files of the workspace to its cache, where nothing may be written."""
    tiny.dvc("config", "--local", "cache.type", "symlink")
    tiny.dvc("checkout", "--relink", quiet=True)
    assert all(file.is_symlink() for file in tiny.raw.rglob("*.png"))
    return tiny


def in_a_worktree(tiny: Workspace) -> Workspace:
    """A second working tree of the repository, on a branch of its own."""
    tree = Workspace(tiny.root.with_name("tree"))
    tiny.git("worktree", "add", "--quiet", "-b", "side", str(tree.root), "origin/main")
    tree.dvc("pull", quiet=True)
    return tree


def with_autostage(tiny: Workspace) -> Workspace:
    """DVC stages in git what it writes."""
    tiny.dvc("config", "--local", "core.autostage", "true")
    return tiny


def run(workspace: Workspace, *options: str) -> None:
    result = run_notebook(workspace, "retrain.ipynb", *options)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("setup", [with_links, in_a_worktree, with_autostage])
def test_a_round_is_published_and_the_next_one_declined(tiny, setup: Callable[[Workspace], Workspace]):
    workspace = setup(tiny)
    cache = {path: path.read_bytes() for path in (tiny.root / ".dvc/cache/files").rglob("*") if path.is_file()}
    run(workspace, "-p", "publish", "True", "-r", "publish_anyway", "eight images are few")
    published = tree_of(workspace)
    assert len(images_of(workspace)) == 24 + 8
    assert workspace.git("status", "--porcelain") == ""
    assert workspace.git("rev-parse", "HEAD") == workspace.git("rev-parse", "origin/main")
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    assert images_of(colleague) == images_of(workspace)
    assert (colleague.root / MODEL).read_bytes() == (workspace.root / MODEL).read_bytes()

    export = workspace.root / "extra-data/annotations.json"
    first, *others = json.loads(export.read_text())
    first["choice"] = {"dark": "light", "light": "dark"}[first["choice"]]
    first["updated_at"] = "2026-01-06T09:00:00.000000Z"
    export.unlink()  # it may be a link into the cache
    export.write_text(json.dumps([first, *others]))
    run(workspace)
    assert images_of(workspace).keys() != {path.removeprefix("data/raw/") for path in published if "data/raw/" in path}
    run(workspace, "-p", "decline", "True")
    assert tree_of(workspace) == published
    assert workspace.git("status", "--porcelain") == ""
    assert {path: path.read_bytes() for path in cache} == cache, "nothing is written into DVC's cache"
