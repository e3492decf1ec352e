"""Git and DVC at work in a real workspace."""

import os
import shlex
import shutil
import subprocess
import sys
from threading import Timer

import pytest

from helpers.problems import Problem
from helpers.workspace import INDEX, MODEL, Workspace, open_workspace


def state(workspace: Workspace) -> tuple[str, str]:
    """What `git status` and `dvc status` say."""
    dvc = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=workspace.root, capture_output=True, text=True)
    return workspace.git("status", "--porcelain"), dvc.stdout


def test_the_root_is_found_from_any_folder_in_it(sample):
    for folder in (sample.root, sample.root / "notebooks", sample.root / "data/raw/3"):
        folder.mkdir(exist_ok=True)
        assert open_workspace(folder).root == sample.root


def test_a_folder_outside_any_project_is_named(tmp_path):
    with pytest.raises(Problem, match=str(tmp_path)):
        open_workspace(tmp_path)


def test_everything_that_is_missing_is_named_at_once(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(Problem) as problem:
        open_workspace(tmp_path)
    assert all(part in str(problem.value) for part in ("git init", "dvc init", "data/raw"))


def test_files_of_the_past_come_from_the_cache_and_leave_the_workspace_alone(sample):
    now = (sample.root / MODEL).read_bytes()
    (sample.root / MODEL).unlink()
    (sample.root / "params.yaml").write_text("something else\n")
    before = state(sample)
    assert sample.read_at("HEAD", MODEL) == now
    assert sample.read_at("HEAD", INDEX).startswith(b"file,label,split,sha256\n")
    assert state(sample) == before
    assert not (sample.root / MODEL).exists()


def test_files_of_the_past_come_from_the_remote_when_the_cache_is_gone(sample):
    now = (sample.root / MODEL).read_bytes()
    shutil.rmtree(sample.root / ".dvc/cache")
    assert sample.read_at("HEAD", MODEL) == now


def test_a_model_that_nobody_has_any_more_is_a_problem_and_not_the_absence_of_a_model(sample):
    shutil.rmtree(sample.root / ".dvc/cache")
    shutil.rmtree(sample.root.with_name("demo-storage"))
    for path in (MODEL, INDEX):
        with pytest.raises(Problem, match="neither in DVC's cache nor in its remote"):
            sample.read_at("HEAD", path)


def test_a_revision_from_before_the_first_model_has_none(sample):
    sample.git("checkout", "--quiet", "--orphan", "empty")
    sample.git("rm", "--quiet", "-r", "--cached", "dvc.lock")
    sample.git("commit", "--quiet", "--message", "Start anew")
    assert sample.read_at("HEAD", MODEL) is None


@pytest.mark.parametrize("revision", ["nowhere", "--help", "531.5", ""])
def test_an_unknown_revision_is_a_problem(sample, revision):
    with pytest.raises(Problem, match="no git revision"):
        sample.read_at(revision, MODEL)


def test_a_file_behind_a_pointer_that_nobody_has_any_more_is_a_problem_too(sample):
    (sample.root / "data/labels.csv").write_text("file\n")
    sample.dvc("add", "data/labels.csv", quiet=True)
    sample.git("add", "data/labels.csv.dvc")
    sample.git("commit", "--quiet", "--message", "Label something")
    shutil.rmtree(sample.root / ".dvc/cache")
    with pytest.raises(Problem, match="neither in DVC's cache nor in its remote"):
        sample.read_at("HEAD", "data/labels.csv")
    assert sample.read_at("HEAD~1", "data/labels.csv") is None


def test_training_is_told_apart_from_nothing_to_do_and_from_what_dvc_remembers(sample):
    assert sample.reproduce() == "unchanged"
    params = sample.root / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("epochs: 8", "epochs: 1"))
    assert sample.reproduce() == "trained"
    params.write_text(before)
    assert sample.reproduce() == "restored"


def test_what_a_stage_prints_comes_through_line_by_line(sample, capfd):
    params = sample.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 2"))
    sample.reproduce()
    said = capfd.readouterr().out
    assert said.index("epoch  1/2") < said.index("epoch  2/2") < said.index("held-out images")


def test_a_stage_that_fails_says_why_and_leaves_the_old_model_in_place(sample):
    model = (sample.root / MODEL).read_bytes()
    stage = sample.root / "helpers/pipeline/train.py"
    stage.write_text(stage.read_text().replace("def main() -> None:", "def main() -> None:\n    1 / 0"))
    with pytest.raises(Problem, match="ZeroDivisionError"):
        sample.reproduce()
    assert (sample.root / MODEL).read_bytes() == model


def test_two_dvc_commands_at_once_are_a_clear_problem(sample):
    params = sample.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 500"))
    with subprocess.Popen([sys.executable, "-m", "dvc", "repro"], cwd=sample.root, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        while b"Running stage 'train'" not in first.stdout.readline():
            pass
        with pytest.raises(Problem, match="another DVC command is running"):
            sample.reproduce()
        first.terminate()


def test_locks_are_named_with_their_age_and_the_command_that_removes_them_and_never_deleted(sample):
    locks = [sample.root / ".git" / name for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock")]
    for lock in locks:
        lock.touch()
        os.utime(lock, (0, 1_700_000_000))
    with pytest.raises(Problem) as problem:
        sample.stop_on_locks()
    assert all(str(lock) in str(problem.value) and lock.exists() for lock in locks)
    assert "2023-11-1" in str(problem.value)
    command = problem.value.advice.partition("rm ")[2]
    subprocess.run(["rm", *shlex.split(command)], check=True)
    sample.stop_on_locks()
    sample.git("add", "params.yaml")


def test_a_lock_that_a_program_holds_for_a_moment_stops_nobody(sample):
    lock = sample.root / ".git/index.lock"
    lock.touch()
    Timer(0.3, lock.unlink).start()
    sample.stop_on_locks()


def test_a_workspace_path_may_have_spaces_and_accents(pristine, tmp_path):
    home = tmp_path / "été à la mer"
    shutil.copytree(pristine.parent, home, symlinks=True)
    workspace = open_workspace(home / "demo")
    assert workspace.reproduce() == "unchanged"
    assert workspace.read_at("HEAD", MODEL)


def test_dvc_is_found_without_an_activated_environment(sample, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    params = sample.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 1"))
    assert sample.reproduce() == "trained"
