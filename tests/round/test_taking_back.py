"""A round is taken back also where its end was cut short: by a kill, or by a remote that refused it."""

import itertools
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from round_steps import (
    DECISION,
    LINEAGE,
    PARAMETERS,
    merge_something,
    publish,
    push_something_else,
    run_as_documented,
    tree_of,
)

from helpers.problems import EndOfRun, Problem
from helpers.round.declining import can_decline, decline_round
from helpers.round.start import start_round
from helpers.round.state import BEFORE, DECLINED, DECLINING, find_state, tell_state
from helpers.workspace import Workspace

FORKS = multiprocessing.get_context("fork")
STEPS = {"update-ref", "restore", "reset", "tag", "add", "checkout"}  # commands of git and DVC that change something


def decline_and_die(workspace: Workspace, step: int) -> None:
    """Decline, and be killed just before the given step among those that change something."""
    steps = itertools.count()

    def count(function):
        def counted(*arguments, **options):
            is_step = len(arguments) < 2 or arguments[1] in STEPS
            if is_step and next(steps) == step:
                os._exit(9)
            return function(*arguments, **options)

        return counted

    for place, name in ((Workspace, "git"), (Workspace, "dvc"), (Path, "unlink")):
        setattr(place, name, count(getattr(place, name)))
    decline_round(workspace)


@pytest.mark.slow
@pytest.mark.parametrize("committed", [False, True])
def test_a_decline_that_is_killed_at_any_step_is_finished_by_the_next_run(tiny, tmp_path, committed):
    before = tree_of(tiny), tiny.git("status", "--porcelain"), tiny.commit_of("HEAD")
    merge_something(tiny)
    if committed:
        tiny.git("branch", "--unset-upstream")
        publish(tiny)
    merged, runs = tree_of(tiny), 0
    for step in itertools.count():
        shutil.copytree(tiny.root, tmp_path / "again" / "demo", symlinks=True)
        workspace = Workspace(tmp_path / "again" / "demo")
        child = FORKS.Process(target=decline_and_die, args=(workspace, step))
        child.start()
        child.join()
        assert child.exitcode in (0, 9)
        if find_state(workspace) == "half declined" and not runs:
            runs += 1
            assert "half declined" in tell_state(workspace)
            start_round(workspace, **PARAMETERS)
        elif can_decline(workspace):
            decline_round(workspace)
        assert (tree_of(workspace), workspace.git("status", "--porcelain"), workspace.commit_of("HEAD")) == before
        assert find_state(workspace) == "declined"
        assert workspace.git("for-each-ref", BEFORE, DECLINING) == workspace.git("tag") == ""
        assert workspace.git("show", f"{DECLINED}:data/labels.csv.dvc").encode() == merged["data/labels.csv.dvc"]
        shutil.rmtree(tmp_path / "again")
        if child.exitcode == 0:
            break
    assert runs
    assert step > 6


@pytest.mark.slow
def test_a_run_that_should_publish_finishes_a_decline_and_publishes_nothing(tiny):
    head = tiny.commit_of("HEAD")
    merge_something(tiny)
    child = FORKS.Process(target=decline_and_die, args=(tiny, 6))
    child.start()
    child.join()
    assert find_state(tiny) == "half declined"
    with pytest.raises(EndOfRun) as end:
        start_round(tiny, **PARAMETERS | {"publish": True})
    assert "Declined" in end.value.sentence
    assert "publishes nothing" in end.value.sentence
    assert tiny.commit_of("HEAD") == head


@pytest.mark.slow
def test_a_revert_is_no_round_that_a_decline_takes_back(tiny):
    merge_something(tiny)
    publish(tiny)
    merge_something(tiny, LINEAGE.replace("new.png", "other.png"))
    publish(tiny, decision=DECISION | {"sentence": "Better once more."})
    tiny.git("revert", "--no-edit", "model/v2")
    run_as_documented(tiny, "rm -f data/labels.csv && dvc checkout data/*.dvc dvc.yaml")
    head = tiny.commit_of("HEAD")
    assert "model/v1" in tell_state(tiny)
    with pytest.raises(Problem, match=r"(?s)no round to decline.*git revert") as problem:
        decline_round(tiny)
    assert tiny.commit_of("model/v1")[:10] in problem.value.advice
    assert tiny.commit_of("HEAD") == head


@pytest.mark.slow
def test_a_round_whose_push_was_refused_is_taken_back_with_its_commit(tiny):
    (tiny.raw / "light" / "mine.png").write_bytes(next((tiny.raw / "light").iterdir()).read_bytes() + b" ")
    tiny.dvc("add", "data/raw", quiet=True)
    before, head = tree_of(tiny), tiny.commit_of("HEAD")
    push_something_else(tiny)
    merge_something(tiny)
    with pytest.raises(Problem, match="rejected"):
        publish(tiny)
    committed = tiny.commit_of("HEAD")
    assert "`-p decline True` takes it back" in tell_state(tiny)
    assert "off the branch" in decline_round(tiny)
    assert (tree_of(tiny), tiny.commit_of("HEAD")) == (before, head), "images that were there before are a person's"
    assert tiny.commit_of(f"{DECLINED}^3") == committed


@pytest.mark.slow
@pytest.mark.parametrize("pushed", [True, False])
def test_a_round_that_others_have_or_that_has_commits_above_it_is_taken_back_as_the_message_says(tiny, pushed):
    before = tree_of(tiny)
    merge_something(tiny)
    if not pushed:
        tiny.git("branch", "--unset-upstream")
    publish(tiny)
    if not pushed:
        tiny.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
    head = tiny.commit_of("HEAD")
    with pytest.raises(Problem, match="no round to decline") as problem:
        decline_round(tiny)
    assert tiny.commit_of("HEAD") == head
    command = problem.value.advice.partition(": ")[2]
    run_as_documented(tiny, command.replace("git revert", "git revert --no-edit"))
    assert tree_of(tiny) == before
    assert tiny.git("log", "-1", "--format=%P").strip() == head
