"""A merge that is killed, or finds no room, leaves a training set from which the same merge reaches its end."""

import itertools
import multiprocessing
import os
import resource
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from projects import Project, busy_project, tree

from helpers.merge.rules import CHANGES
from helpers.problems import Problem

FORKS = multiprocessing.get_context("fork")  # children need not import everything again


def merge_and_die(project: Project, rows: list[dict[str, object]], step: int) -> None:
    """Merge, and be killed just before the given step among those that change the disk."""
    steps = itertools.count()

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if (writes or event in {"os.rename", "os.mkdir", "os.rmdir", "os.remove"}) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    plan = project.plan(*rows, new_classes=["Venus"])
    sys.addaudithook(watch)
    project.apply(plan, "e2")


class TestInterruption:
    @staticmethod
    def kill_and_repeat(tmp_path: Path, step: int, *, plan_again: bool) -> bool:
        """Kill a merge at a step, look at what is left, and merge again; tell whether it ended before that step."""
        whole, again = tmp_path / "whole", tmp_path / f"{step}"
        if not whole.exists():
            project, rows = busy_project(whole)
            project.merge(*rows, export="e2", new_classes=["Venus"])
        project, rows = busy_project(again)
        plan, before = project.plan(*rows, new_classes=["Venus"]), tree(project.raw)
        child = FORKS.Process(target=merge_and_die, args=(project, rows, step))
        child.start()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)

        left = set(tree(project.raw).values())
        assert left <= set(tree(project.images).values()), "no half-written image"
        assert left >= set(before.values()), "no image lost"
        if plan_again:
            plan = project.plan(*rows, new_classes=["Venus"])
        if plan["action"].isin(CHANGES).any():
            project.apply(plan, "e2")
        assert tree(again) == tree(whole), "the same end"
        assert [path.name for path in sorted(project.raw.iterdir())] == ["Mars", "Moon", "Venus"]
        return child.exitcode == 0

    @pytest.mark.parametrize(("first", "plan_again"), [(0, True), (3, False)])
    def test_killed_here_and_there(self, tmp_path, first, plan_again):
        for step in range(first, 48, 6):
            self.kill_and_repeat(tmp_path, step, plan_again=plan_again)

    @pytest.mark.slow
    @pytest.mark.parametrize("plan_again", [True, False])
    def test_killed_at_every_step(self, tmp_path, plan_again):
        ends = (self.kill_and_repeat(tmp_path, step, plan_again=plan_again) for step in itertools.count())
        assert len(list(itertools.takewhile(lambda ended: not ended, ends))) > 40


def merge_with_little_room(project: Project, rows: list[dict[str, object]], room: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    project.merge(*rows, new_classes=["Venus"])


@pytest.mark.parametrize("room", [10, 500], ids=["for no image", "for the images, but not for the lineage"])
def test_a_full_disk_changes_nothing(tmp_path, room):
    project, rows = busy_project(tmp_path)
    before = tree(tmp_path)
    with ProcessPoolExecutor(mp_context=FORKS) as pool, pytest.raises(Problem, match="File too large"):
        pool.submit(merge_with_little_room, project, rows, room).result()
    assert tree(tmp_path) == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["labels.csv", "raw"]
