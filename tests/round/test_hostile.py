"""A round where a person has configured git, and DVC, to do and say everything in another way."""

import json
import shutil

import pytest
from hostile import make_hostile_home
from notebook_runs import run_notebook

from examples.workspace import clone_project
from helpers.pipeline.paths import MODEL
from helpers.workspace import DECISION, Workspace


def publish(workspace: Workspace) -> str:
    """Run the notebook to a published model, and return the decision."""
    result = run_notebook(workspace, "retrain.ipynb", "-p", "publish", "True", "-r", "publish_anyway", "a test")
    assert result.returncode == 0, result.stderr[-3000:]
    return (workspace.root / DECISION).read_text()


@pytest.mark.slow
def test_a_round_is_the_same_whatever_git_is_configured_to_say(tiny, tmp_path, monkeypatch):
    shutil.copytree(tiny.root.parent, tmp_path / "twin", symlinks=True)
    twin = Workspace(tmp_path / "twin/demo")
    decision = publish(twin)
    tiny.dvc("config", "--local", "core.autostage", "true")  # DVC runs git, too
    with monkeypatch.context() as patch:
        patch.setenv("HOME", str(make_hostile_home(tmp_path / "home")))
        assert publish(tiny) == decision
        head = tiny.git("rev-parse", "HEAD")
        assert publish(tiny) == decision  # that is, its model is not compared with itself
    assert tiny.git("rev-parse", "HEAD", "origin/main") == head * 2
    assert tiny.git("status", "--porcelain") == ""
    assert "gpgsig" in tiny.git("cat-file", "commit", "HEAD")
    assert (tiny.root / MODEL).read_bytes() == (twin.root / MODEL).read_bytes()
    for form in ("%T", "%B"):  # the files, and the message
        assert tiny.git("log", "-1", f"--format={form}") == twin.git("log", "-1", f"--format={form}")
    tags = [workspace.git("ls-remote", "--refs", "origin", "refs/tags/*").split()[1:] for workspace in (tiny, twin)]
    assert tags[0] == tags[1]
    assert json.loads(decision)["verdict"]


def test_the_project_is_cloned_whatever_a_remote_is_called(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(make_hostile_home(tmp_path / "home")))
    clone_project(tmp_path / "clone")
    clone = Workspace(tmp_path / "clone")
    assert (clone.root / "dvc.yaml").exists()
    assert "remote." not in clone.git("config", "--local", "--list")
    clone.git("remote", "add", "origin", "../storage.git")
    assert clone.git("branch", "--show-current") == "main\n"
