"""Locks and half written files stop a round, and nobody but a person removes them."""

import os
import shlex
import subprocess
import time
from threading import Timer

import pytest
from round_steps import images_of

from helpers.problems import Problem
from helpers.workspace.locks import stop_on_locks
from helpers.workspace.stages import reproduce


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
        stop_on_locks(tiny)
    assert all(str(lock) in str(problem.value) and lock.exists() for lock in locks)
    assert "2023-11-1" in str(problem.value)
    command = problem.value.advice.partition("rm ")[2]
    subprocess.run(["rm", *shlex.split(command)], check=True)
    stop_on_locks(tiny)
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
        stop_on_locks(tiny)
    assert f"rm {damaged}" in str(problem.value)
    damaged.write_text(text)
    stop_on_locks(tiny)


@pytest.mark.slow
def test_dvc_makes_its_files_again_where_half_written_ones_were_removed(tiny):
    images = images_of(tiny)
    for name in ("dvc.lock", "data/raw.dvc"):
        (tiny.root / name).unlink()
    stop_on_locks(tiny)
    tiny.dvc("add", "data/raw", quiet=True)
    reproduce(tiny)
    assert tiny.git("status", "--porcelain") == ""
    assert images_of(tiny) == images


def test_a_file_in_which_git_could_not_merge_is_left_for_a_person(tiny, no_wait):
    with (tiny.root / "data/raw.dvc").open("a") as file:
        file.write("<<<<<<< HEAD\n")
    stop_on_locks(tiny)


def test_a_lock_that_a_program_holds_for_a_moment_stops_nobody(tiny):
    lock = tiny.root / ".git/index.lock"
    lock.touch()
    Timer(0.3, lock.unlink).start()
    stop_on_locks(tiny)
