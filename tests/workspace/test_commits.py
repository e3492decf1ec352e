"""Files of the past come from DVC's cache or its remote."""

import shutil
import subprocess
import sys

import pytest
from round_steps import images_of

from helpers.pipeline.paths import INDEX, MODEL
from helpers.problems import Problem
from helpers.workspace import Workspace


def state(workspace: Workspace) -> tuple[str, str]:
    """The output of `git status` and of `dvc status`."""
    dvc = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=workspace.root, capture_output=True, text=True)
    return workspace.git("status", "--porcelain"), dvc.stdout


def test_files_of_the_past_come_from_the_cache_and_leave_the_workspace_alone(tiny):
    now = (tiny.root / MODEL).read_bytes()
    (tiny.root / MODEL).unlink()
    (tiny.root / "params.yaml").write_text("something else\n")
    before = state(tiny)
    assert tiny.read_at("HEAD", MODEL) == now
    assert tiny.read_at("HEAD", INDEX).startswith(b"file,label,split,sha256\n")
    assert state(tiny) == before
    assert not (tiny.root / MODEL).exists()


@pytest.mark.slow
def test_files_of_the_past_come_from_the_remote_when_the_cache_is_gone(tiny):
    now = (tiny.root / MODEL).read_bytes()
    shutil.rmtree(tiny.root / ".dvc/cache")
    assert tiny.read_at("HEAD", MODEL) == now


@pytest.mark.slow
@pytest.mark.parametrize("command", ["dvc.api.read('model/classifier.bentomodel', rev='HEAD')", "Repo().checkout()"])
def test_files_are_found_also_when_a_kill_left_dvc_an_incomplete_list(tiny, command):
    code = f"""
import os
import dvc.api
from dvc.repo import Repo, index
load = index._load_data_from_outs
def die_after_the_first(listing, prefix, outs):
    load(listing, prefix, list(outs)[:1])
    listing.commit()
    os._exit(9)
index._load_data_from_outs = die_after_the_first
{command}
"""
    images = images_of(tiny)
    assert subprocess.run([sys.executable, "-c", code], cwd=tiny.root).returncode == 9
    tiny.dvc("checkout", "--force", quiet=True)
    assert images_of(tiny) == images
    assert tiny.read_at("HEAD", MODEL) == (tiny.root / MODEL).read_bytes()


def test_a_model_that_nobody_has_any_more_is_a_problem_and_not_the_absence_of_a_model(tiny):
    shutil.rmtree(tiny.root / ".dvc/cache")
    shutil.rmtree(tiny.root.with_name("demo-storage"))
    for path in (MODEL, INDEX):
        with pytest.raises(Problem, match="neither in DVC's cache nor in its remote"):
            tiny.read_at("HEAD", path)


@pytest.mark.slow
def test_a_revision_from_before_the_first_model_has_none(tiny):
    tiny.git("checkout", "--quiet", "--orphan", "empty")
    tiny.git("rm", "--quiet", "-r", "--cached", "dvc.lock")
    tiny.git("commit", "--quiet", "--message", "Start over")
    assert tiny.read_at("HEAD", MODEL) is None


@pytest.mark.parametrize("revision", ["nowhere", "--help", "531.5", ""])
def test_an_unknown_revision_is_a_problem(tiny, revision):
    with pytest.raises(Problem, match="no git revision"):
        tiny.read_at(revision, MODEL)


@pytest.mark.slow
def test_a_file_behind_a_pointer_that_nobody_has_any_more_is_a_problem_too(tiny):
    (tiny.root / "data/labels.csv").write_text("file\n")
    tiny.dvc("add", "data/labels.csv", quiet=True)
    tiny.git("add", "data/labels.csv.dvc")
    tiny.git("commit", "--quiet", "--message", "Label something")
    shutil.rmtree(tiny.root / ".dvc/cache")
    with pytest.raises(Problem, match="neither in DVC's cache nor in its remote"):
        tiny.read_at("HEAD", "data/labels.csv")
    assert tiny.read_at("HEAD~1", "data/labels.csv") is None
