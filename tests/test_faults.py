"""Whatever happens to a round, the same command reaches the same end, and every image is accounted for."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.workspace import MODEL, Workspace

ROUND = """
from pathlib import Path
from helpers import annotations, dataset, publishing, rounds, workspace

here = workspace.open_workspace(Path.cwd())
export, raw, lineage = (here.root / path for path in ("extra-data/annotations.json", "data/raw", "data/labels.csv"))
plan = dataset.plan_merge(annotations.read_export(export), here.root / "extra-data", raw, lineage=lineage)
rounds.merge_round(here, plan, export)
here.reproduce()
decision = rounds.record_decision(here, rounds.score_held_out(here, "HEAD"), "HEAD", export)
publishing.publish_round(here, plan, decision, anyway="a test")
"""


def finish_round(workspace: Workspace) -> None:
    """A round from merge to publish."""
    command = [sys.executable, "-c", ROUND]
    result = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]


def contents(folder: Path) -> dict[str, str]:
    """Each image's sha256 and the class it lies in."""
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path.parent.name for path in folder.glob("*/*.png")}


def expected(workspace: Workspace) -> dict[str, str]:
    """What data/raw holds after the round: what was there, and what everybody who labelled it agreed on."""
    given: dict[str, set[str]] = {}
    for row in json.loads((workspace.root / "extra-data/annotations.json").read_text()):
        given.setdefault(row["image"].partition("-")[2], set()).add(row.get("choice", ""))
    agreed = {name: labels.pop() for name, labels in given.items() if len(labels) == 1 and labels != {""}}
    files = {name: (workspace.root / "extra-data" / name).read_bytes() for name in agreed}
    return contents(workspace.root / "data/raw") | {
        hashlib.sha256(files[name]).hexdigest(): label for name, label in agreed.items()
    }


@pytest.fixture
def quick(sample) -> Workspace:
    """A sample whose training takes one epoch."""
    params = sample.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 1"))
    sample.reproduce()
    sample.git("commit", "--quiet", "--all", "--message", "Train for one epoch")
    sample.dvc("push", "--quiet")
    sample.git("push", "--quiet")
    return sample


def assert_published(workspace: Workspace, images: dict[str, str]) -> None:
    assert contents(workspace.root / "data/raw") == images
    assert workspace.git("status", "--porcelain") == ""
    assert workspace.git("rev-parse", "HEAD") == workspace.git("rev-parse", "origin/main")
    assert workspace.git("log", "--format=%s", "-1").startswith("Retrain: ")
    colleague = Workspace(workspace.root.with_name("colleague"))
    shutil.rmtree(colleague.root, ignore_errors=True)
    workspace.git("clone", "--quiet", str(workspace.root.with_name("demo.git")), str(colleague.root))
    colleague.dvc("pull", "--quiet")
    assert contents(colleague.root / "data/raw") == images
    assert (colleague.root / MODEL).read_bytes() == (workspace.root / MODEL).read_bytes()


def test_an_interrupt_stops_the_training_and_leaves_the_old_model_in_place(sample):
    params = sample.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 5000"))
    model = (sample.root / MODEL).read_bytes()
    code = "from helpers.workspace import *; open_workspace(Path.cwd()).reproduce()"
    with subprocess.Popen([sys.executable, "-uc", code], cwd=sample.root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "epoch " not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
    assert process.returncode != 0
    assert (sample.root / MODEL).read_bytes() == model
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "helpers.stages.train" not in running


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_the_merge_never_writes_through_a_link_into_the_cache(quick, kind):
    quick.dvc("config", "cache.type", kind)
    quick.dvc("checkout", "--quiet", "--relink")
    linked = next((quick.root / "data/raw").glob("*/*.png"))
    assert linked.is_symlink() if kind == "symlink" else linked.stat().st_nlink > 1
    cache = quick.root / ".dvc/cache/files/md5"
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    images = expected(quick)
    finish_round(quick)
    assert contents(quick.root / "data/raw") == images
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_a_round_succeeds_without_the_cache(quick):
    images = expected(quick)
    shutil.rmtree(quick.root / ".dvc/cache")
    finish_round(quick)
    assert_published(quick, images)


@pytest.mark.slow
def test_a_round_succeeds_in_a_shallow_clone_and_in_a_worktree(quick, tmp_path):
    images = expected(quick)
    home = quick.root.parent
    quick.git("clone", "--quiet", "--depth=1", f"file://{home / 'demo.git'}", str(home / "shallow"))
    quick.git("worktree", "add", "--quiet", "-b", "side", str(home / "tree"))
    for name in ("shallow", "tree"):
        workspace = Workspace(home / name)
        workspace.dvc("pull", "--quiet")
        for key, value in (("user.name", "Somebody"), ("user.email", "some@body")):
            workspace.git("config", key, value)
        finish_round(workspace)
        assert contents(workspace.root / "data/raw") == images
        assert workspace.git("log", "--format=%s", "-1").startswith("Retrain: ")
