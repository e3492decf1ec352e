"""Whatever happens to a round, the same command reaches the same end, and every image is accounted for."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import psutil
import pytest

from helpers.pipeline.paths import MODEL
from helpers.problems import Problem
from helpers.workspace import Workspace
from helpers.workspace.locks import stop_on_locks

ROUND = """
from pathlib import Path
from helpers.labels import read_export
from helpers.merge.plan import plan_merge
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.publishing import end_round
from helpers.round.verdict import decide_round
from helpers.workspace import open_workspace
from helpers.workspace.stages import reproduce

here = open_workspace(Path.cwd())
export, raw, lineage = (here.root / path for path in ("extra-data/annotations.json", "data/raw", "data/labels.csv"))
plan = plan_merge(read_export(export), here.root / "extra-data", raw, lineage=lineage, hashes=here.hashes)
print("planned")
merge_round(here, plan, export)
reproduce(here)
decision = decide_round(here, compare_models(here), export, plan)
end_round(here, plan, decision, publish=True, publish_anyway="a test")
"""


def start_round(workspace: Workspace, before: str = "") -> subprocess.Popen[str]:
    """A round from merge to publish."""
    command = [sys.executable, "-uc", before + ROUND]
    return subprocess.Popen(command, cwd=workspace.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish_round(workspace: Workspace) -> None:
    process = start_round(workspace)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]


def assert_refused(process: subprocess.Popen[str]) -> None:
    """It ended with a sentence for people."""
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "helpers.problems.Problem: " in errors


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


def assert_published(workspace: Workspace, images: dict[str, str]) -> None:
    assert contents(workspace.root / "data/raw") == images
    assert workspace.git("status", "--porcelain") == ""
    assert workspace.git("rev-parse", "HEAD") == workspace.git("rev-parse", "origin/main")
    (message,) = workspace.git("log", "--format=%s", "--grep=^Retrain").splitlines()
    lines = (workspace.root / "data/labels.csv").read_text().count("\n")
    assert message.startswith(f"Retrain: images {lines - 1} added, 0 moved, ")
    colleague = Workspace(workspace.root.with_name("colleague"))
    shutil.rmtree(colleague.root, ignore_errors=True)
    workspace.git("clone", "--quiet", str(workspace.root.with_name("demo.git")), str(colleague.root))
    colleague.dvc("pull", quiet=True)
    assert contents(colleague.root / "data/raw") == images
    assert (colleague.root / MODEL).read_bytes() == (workspace.root / MODEL).read_bytes()


def is_training(workspace: Workspace) -> bool:
    running = (process.info for process in psutil.process_iter(["cmdline", "cwd"]))
    return any(
        "helpers.pipeline.train" in (info["cmdline"] or []) and info["cwd"] == str(workspace.root) for info in running
    )


@contextmanager
def training_for_long(workspace: Workspace) -> Iterator[subprocess.Popen[str]]:
    """Retrain in a process of its own, which has ended its first epoch of many; wait for its end."""
    params = workspace.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 50000"))
    code = """
from pathlib import Path
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce
reproduce(Workspace(Path.cwd()))
"""
    command = [sys.executable, "-uc", code]
    with subprocess.Popen(command, cwd=workspace.root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "epoch " not in process.stdout.readline():
            pass
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["python", "torchrun --standalone --nproc-per-node=2"])
def test_an_interrupt_stops_the_training_and_leaves_the_old_model_in_place(tiny, launcher):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("launcher: python", f"launcher: {launcher}"))
    model = (tiny.root / MODEL).read_bytes()
    with training_for_long(tiny) as process:
        assert is_training(tiny)
        process.send_signal(signal.SIGINT)
    assert process.returncode != 0
    assert (tiny.root / MODEL).read_bytes() == model
    assert not is_training(tiny)


@pytest.mark.slow
def test_a_run_whose_output_nobody_reads_any_more_leaves_the_old_model_in_place(tiny):
    model = (tiny.root / MODEL).read_bytes()
    with training_for_long(tiny) as process:
        assert process.stdout is not None
        process.stdout.close()  # as `| head` does
    assert (tiny.root / MODEL).read_bytes() == model
    assert not is_training(tiny)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_the_merge_never_writes_through_a_link_into_the_cache(tiny, kind):
    tiny.dvc("config", "cache.type", kind)
    tiny.dvc("checkout", "--relink", quiet=True)
    linked = next((tiny.root / "data/raw").glob("*/*.png"))
    assert linked.is_symlink() if kind == "symlink" else linked.stat().st_nlink > 1
    cache = tiny.root / ".dvc/cache/files/md5"
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    images = expected(tiny)
    finish_round(tiny)
    assert contents(tiny.root / "data/raw") == images
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_a_round_succeeds_without_the_cache(tiny):
    images = expected(tiny)
    shutil.rmtree(tiny.root / ".dvc/cache")
    finish_round(tiny)
    assert_published(tiny, images)


@pytest.mark.slow
def test_a_round_succeeds_in_a_shallow_clone_and_in_a_worktree(tiny, tmp_path):
    images = expected(tiny)
    home = tiny.root.parent
    tiny.git("clone", "--quiet", "--depth=1", f"file://{home / 'demo.git'}", str(home / "shallow"))
    tiny.git("worktree", "add", "--quiet", "-b", "side", str(home / "tree"))
    for name in ("shallow", "tree"):
        workspace = Workspace(home / name)
        workspace.dvc("pull", quiet=True)
        for key, value in (("user.name", "Somebody"), ("user.email", "some@body")):
            workspace.git("config", key, value)
        finish_round(workspace)
        assert contents(workspace.root / "data/raw") == images
        assert workspace.git("log", "--format=%s", "-1").startswith("Retrain: ")


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [1, 10, 50])
def test_a_round_without_room_is_finished_when_there_is_some(tiny, kilobytes):
    images, model = expected(tiny), (tiny.root / MODEL).read_bytes()
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes * 1000}, resource.RLIM_INFINITY))"
    assert_refused(start_round(tiny, before=limit))
    assert (tiny.root / MODEL).read_bytes() == model
    finish_round(tiny)
    assert_published(tiny, images)


@pytest.mark.slow
def test_a_training_set_that_cannot_be_written_is_left_as_it_is(tiny):
    images, before = expected(tiny), contents(tiny.root / "data/raw")
    folders = [tiny.root / "data/raw", *(tiny.root / "data/raw").iterdir()]
    with read_only(folders):
        assert_refused(start_round(tiny))
        assert contents(tiny.root / "data/raw") == before
    finish_round(tiny)
    assert_published(tiny, images)


@contextmanager
def read_only(folders: list[Path]) -> Iterator[None]:
    """Nobody can write into these folders: root, who may in spite of their mode, cannot while they are immutable."""
    root = os.geteuid() == 0
    freeze, thaw = (["chattr", "+i"], ["chattr", "-i"]) if root else (["chmod", "a-w"], ["chmod", "u+w"])
    if subprocess.run([*freeze, *folders], capture_output=True).returncode:
        pytest.skip("this file system cannot make a folder immutable")
    try:
        yield
    finally:
        subprocess.run([*thaw, *folders], check=True)


@pytest.mark.slow
def test_two_rounds_at_once_do_not_spoil_each_other(tiny):
    images = expected(tiny)
    for process in [start_round(tiny), start_round(tiny)]:
        _, errors = process.communicate()
        assert process.returncode == 0 or "helpers.problems.Problem: " in errors, errors[-3000:]
    finish_round(tiny)
    assert_published(tiny, images)


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.parametrize("seed", range(4))
def test_a_round_that_is_killed_again_and_again_is_finished_by_the_same_command(tiny, tmp_path, seed):
    images, chance, kills = expected(tiny), Random(seed), 0
    process = start_round(copy_of(tiny, tmp_path / "whole"))
    wait_for_the_merge(process)
    started = time.monotonic()
    process.communicate()
    longest = time.monotonic() - started
    while kills < 25:
        workspace = copy_of(tiny, tmp_path / f"round {kills}")
        for _ in range(10):
            remove_locks(workspace)
            process = start_round(workspace)
            wait_for_the_merge(process)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=chance.uniform(0, longest / 2))
            if process.poll() is not None:
                break
            kill_with_children(process)
            kills += 1
        remove_locks(workspace)
        finish_round(workspace)
        assert_published(workspace, images)
        shutil.rmtree(workspace.root.parent)


def remove_locks(workspace: Workspace) -> None:
    """Do as the message says about the locks of a git or DVC that was killed, which a person knows to be gone."""
    try:
        stop_on_locks(workspace)
    except Problem as problem:
        subprocess.run(["rm", *shlex.split(problem.advice.partition("rm ")[2])], check=True)


def wait_for_the_merge(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "planned\n"


def copy_of(workspace: Workspace, folder: Path) -> Workspace:
    shutil.copytree(workspace.root.parent, folder, symlinks=True)
    return Workspace(folder / "demo")


def kill_with_children(process: subprocess.Popen[str]) -> None:
    """All at once, as when the machine loses its power."""
    processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(processes)
    process.communicate()
