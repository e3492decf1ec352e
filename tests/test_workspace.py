"""Git and DVC at work in a real workspace."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from threading import Timer

import pytest
from round_steps import images_of

from helpers.pipeline.paths import INDEX, MODEL
from helpers.problems import Problem
from helpers.workspace import Workspace, open_workspace


def state(workspace: Workspace) -> tuple[str, str]:
    """The output of `git status` and of `dvc status`."""
    dvc = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=workspace.root, capture_output=True, text=True)
    return workspace.git("status", "--porcelain"), dvc.stdout


def test_the_root_is_found_from_any_folder_in_it(tiny):
    for folder in (tiny.root, tiny.root / "notebooks", tiny.root / "data/raw/dark"):
        folder.mkdir(exist_ok=True)
        assert open_workspace(folder).root == tiny.root


def test_a_file_that_is_saved_is_read_as_a_whole_while_it_is_written(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.save("runs/last.json", {"report": "old"})
    with (tmp_path / "runs/last.json").open() as reader:
        workspace.save("runs/last.json", {"report": "new"})
        assert json.load(reader) == {"report": "old"}
    assert workspace.load("runs/last.json") == {"report": "new"}
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["last.json"]


def test_a_folder_outside_any_project_is_named(tmp_path):
    with pytest.raises(Problem, match=str(tmp_path)):
        open_workspace(tmp_path)


def test_a_project_within_a_repository_is_refused_since_its_past_could_not_be_read(tiny):
    (tiny.root / "part").mkdir()
    for name in ("dvc.yaml", ".dvc", "data"):
        (tiny.root / name).rename(tiny.root / "part" / name)
    with pytest.raises(Problem, match="part/"):
        open_workspace(tiny.root / "part")


def test_everything_that_is_missing_is_named_at_once(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(Problem) as problem:
        open_workspace(tmp_path)
    assert all(part in str(problem.value) for part in ("git init", "dvc init", "data/raw"))


def test_files_of_another_user_are_not_taken_for_a_missing_repository(tiny, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(Problem, match="another user") as problem:
        open_workspace(tiny.root)
    assert f"git config --global --add safe.directory {tiny.root}" in str(problem.value)
    assert "git init" not in str(problem.value)


def test_a_damaged_configuration_is_not_taken_for_a_missing_repository(tiny):
    with (tiny.root / ".git/config").open("a") as config:
        config.write("[core\n")
    with pytest.raises(Problem, match="bad config line") as problem:
        open_workspace(tiny.root)
    assert "git init" not in str(problem.value)


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
    tiny.git("commit", "--quiet", "--message", "Start anew")
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


@pytest.mark.slow
def test_training_is_told_apart_from_nothing_to_do_and_from_what_dvc_remembers(tiny):
    assert tiny.reproduce() == "unchanged"
    params = tiny.root / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("epochs: 1", "epochs: 2"))
    assert tiny.reproduce() == "trained"
    params.write_text(before)
    assert tiny.reproduce() == "restored"


@pytest.mark.slow
def test_what_a_stage_prints_comes_through_line_by_line(tiny, capfd):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 2"))
    tiny.reproduce()
    said = capfd.readouterr().out
    assert said.index("epoch  1/2") < said.index("epoch  2/2") < said.index("held-out images")


@pytest.mark.slow
def test_a_stage_that_fails_says_why_and_leaves_the_old_model_in_place(tiny):
    model = (tiny.root / MODEL).read_bytes()
    stage = tiny.root / "helpers/pipeline/train.py"
    stage.write_text(stage.read_text().replace("def main() -> None:", "def main() -> None:\n    1 / 0"))
    with pytest.raises(Problem, match="ZeroDivisionError"):
        tiny.reproduce()
    assert (tiny.root / MODEL).read_bytes() == model


@pytest.mark.slow
def test_two_dvc_commands_at_once_are_a_clear_problem(tiny):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 50000"))
    with subprocess.Popen([sys.executable, "-m", "dvc", "repro"], cwd=tiny.root, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        while b"Running stage 'train'" not in first.stdout.readline():
            pass
        with pytest.raises(Problem, match="another DVC command is running"):
            tiny.reproduce()
        first.terminate()


@pytest.fixture
def no_wait(monkeypatch):
    """Give a program that holds a lock no second to release it."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_locks_are_named_with_their_age_and_the_command_that_removes_them_and_never_deleted(tiny, no_wait):
    locks = [tiny.root / ".git" / name for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock")]
    for lock in locks:
        lock.touch()
        os.utime(lock, (0, 1_700_000_000))
    with pytest.raises(Problem) as problem:
        tiny.stop_on_locks()
    assert all(str(lock) in str(problem.value) and lock.exists() for lock in locks)
    assert "2023-11-1" in str(problem.value)
    command = problem.value.advice.partition("rm ")[2]
    subprocess.run(["rm", *shlex.split(command)], check=True)
    tiny.stop_on_locks()
    tiny.git("add", "params.yaml")


@pytest.mark.parametrize(
    ("name", "end"),
    [
        (".dvc/tmp/rwlock", ""),
        ("dvc.lock", ""),
        ("dvc.lock", "params:"),
        ("data/raw.dvc", ""),
        ("data/raw.dvc", ".dir"),
        ("data/raw.dvc", "nfiles"),
    ],
)
def test_a_file_that_a_killed_dvc_left_half_written_is_named_too(tiny, no_wait, name, end):
    damaged = tiny.root / name
    text = damaged.read_text() if damaged.exists() else "{}"
    damaged.write_text(text[: text.rindex(end) + len(end)] if end else "")
    with pytest.raises(Problem) as problem:
        tiny.stop_on_locks()
    assert f"rm {damaged}" in str(problem.value)
    damaged.write_text(text)
    tiny.stop_on_locks()


@pytest.mark.slow
def test_dvc_makes_its_files_again_where_half_written_ones_were_removed(tiny):
    images = images_of(tiny)
    for name in ("dvc.lock", "data/raw.dvc"):
        (tiny.root / name).unlink()
    tiny.stop_on_locks()
    tiny.dvc("add", "data/raw", quiet=True)
    tiny.reproduce()
    assert tiny.git("status", "--porcelain") == ""
    assert images_of(tiny) == images


def test_a_file_in_which_git_could_not_merge_is_left_for_a_person(tiny, no_wait):
    with (tiny.root / "data/raw.dvc").open("a") as file:
        file.write("<<<<<<< HEAD\n")
    tiny.stop_on_locks()


def test_a_lock_that_a_program_holds_for_a_moment_stops_nobody(tiny):
    lock = tiny.root / ".git/index.lock"
    lock.touch()
    Timer(0.3, lock.unlink).start()
    tiny.stop_on_locks()


@pytest.mark.slow
def test_a_workspace_path_may_have_spaces_and_accents(pristine_tiny, tmp_path):
    home = tmp_path / "été à la mer"
    shutil.copytree(pristine_tiny.parent, home, symlinks=True)
    workspace = open_workspace(home / "demo")
    assert workspace.reproduce() == "unchanged"
    assert workspace.read_at("HEAD", MODEL)


@pytest.mark.slow
def test_dvc_is_found_without_an_activated_environment(tiny, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 2"))
    assert tiny.reproduce() == "trained"


def test_a_clone_has_the_same_bytes_whatever_ends_of_lines_git_is_set_to_write(tiny, run):
    """DVC knows code by its bytes: with other ones all stages would be changed."""
    clone = tiny.root.with_name("clone")
    run("git", "-c", "core.autocrlf=true", "clone", "--quiet", tiny.root.with_name("demo.git"), clone, cwd=tiny.root)
    tracked = tiny.git("ls-files", "-z").split("\0")[:-1]
    assert "helpers/decode.py" in tracked
    assert [file for file in tracked if (clone / file).read_bytes() != (tiny.root / file).read_bytes()] == []


def test_the_code_behind_the_model_is_found_without_that_of_stages_of_ones_own(tiny):
    stages = (tiny.root / "dvc.yaml").read_text()
    before = "  fetch:\n    cmd: make images\n    deps: [Makefile]\n    outs: [backbones/mine.onnx]\n"
    beside = "  check:\n    cmd: make lint\n    deps: [pyproject.toml, model/classifier.bentomodel]\n\nplots:"
    (tiny.root / "dvc.yaml").write_text(stages.replace("\nplots:", before + beside))
    assert {"dvc.yaml", "Makefile", "helpers/pipeline/network.py"} <= set(tiny.code_of_stages())
    assert not {"pyproject.toml", "data/raw", "data/prepared", "backbones"} & set(tiny.code_of_stages())


def test_stages_that_cannot_be_read_are_a_problem(tiny):
    (tiny.root / "dvc.yaml").write_text("stages: {prepare: {cmd: [}}")
    with pytest.raises(Problem, match=r"stages of dvc\.yaml"):
        tiny.code_of_stages()
