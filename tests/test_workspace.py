"""Git and DVC at work in a real workspace."""

import shutil
import subprocess
import sys

import pytest

from helpers.problems import Problem
from helpers.sample import PROJECT
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


def test_nothing_to_do_is_told_apart_from_work_done(sample):
    assert sample.reproduce() is False
    params = sample.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 1"))
    assert sample.reproduce() is True


def test_what_a_stage_prints_comes_through_line_by_line(sample, capfd):
    params = sample.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 2"))
    sample.reproduce()
    said = capfd.readouterr().out
    assert said.index("epoch  1/2") < said.index("epoch  2/2") < said.index("held-out images")


def test_a_stage_that_fails_says_why_and_leaves_the_old_model_in_place(sample):
    model = (sample.root / MODEL).read_bytes()
    stage = sample.root / "helpers/stages/train.py"
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


def test_the_locks_of_a_git_that_was_killed_do_not_stop_the_next_one(sample):
    locks = [sample.root / ".git" / name for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock")]
    for lock in locks:
        lock.touch()
    with pytest.raises(Problem, match=r"index\.lock"):
        sample.git("add", "params.yaml")
    open_workspace(sample.root).git("add", "params.yaml")
    assert not any(lock.exists() for lock in locks)


def test_the_lock_of_a_git_that_is_running_is_respected(sample):
    lock = sample.root / ".git/index.lock"
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=sample.root, stdin=subprocess.PIPE) as git:
        lock.touch()
        open_workspace(sample.root)
        assert lock.exists()
        git.communicate()


def test_a_workspace_path_may_have_spaces_and_accents(pristine, tmp_path):
    home = tmp_path / "été à la mer"
    shutil.copytree(pristine.parent, home, symlinks=True)
    workspace = open_workspace(home / "demo")
    assert workspace.reproduce() is False
    assert workspace.read_at("HEAD", MODEL)


def test_dvc_is_found_without_an_activated_environment(sample, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    params = sample.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 1"))
    assert sample.reproduce() is True


def test_a_python_without_the_requirements_says_what_to_do():
    command = [sys.executable, "-S", "-c", "import helpers"]  # -S: without what is installed
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "lacks bentoml, dvc" in result.stderr
    assert "source .venv/bin/activate" in result.stderr
