"""Further trainings run beside the training that they belong to, and end with it when it is stopped."""

import json
from subprocess import Popen
from typing import Any

import pandas as pd
import pytest
from round_steps import plan_sample

from extras.chance import FurtherTrainings, find_chance, trainings
from extras.chance.trainings import choose_trainings, train_further
from helpers.pipeline.paths import INDEX, TRAINING_SECONDS
from helpers.problems import Problem
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.training import retrain


class Started:
    """A process that was started, and whether it was ended."""

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.ended, self.returncode = arguments, False, 0

    def communicate(self) -> tuple[str, str]:
        return json.dumps({"files": [], "old": [], "new": []}), ""

    def kill(self) -> None:
        self.ended = True


@pytest.fixture
def started(tiny, monkeypatch) -> list[Started]:
    processes: list[Started] = []
    (tiny.root / TRAINING_SECONDS).write_text("1.0")

    def start(*call: object) -> Started:
        processes.append(Started(*call))
        return processes[-1]

    monkeypatch.setattr(trainings, "start_process", start)
    return processes


def test_they_begin_with_the_training_and_are_waited_for(tiny, started):
    further = FurtherTrainings(tiny, "HEAD", -1)
    assert not further.tell("Running stage 'prepare':")
    assert started == []
    assert not further.tell("Running stage 'train':")
    further.end(finished=True)
    (process,) = started
    assert process.arguments == (tiny, tiny.commit_of("HEAD"), (2, 2))
    assert further.read_answers(tiny.commit_of("HEAD")).old == []
    assert len(started) == 1


def test_a_training_that_is_stopped_ends_them(tiny, started):
    further = FurtherTrainings(tiny, "HEAD", -1)
    further.tell("Running stage 'train':")
    further.end(finished=False)
    assert started[0].ended


def test_where_no_training_ran_they_begin_when_they_are_asked_for(tiny, started):
    further = FurtherTrainings(tiny, "HEAD", 3)
    further.tell("Stage 'train' is cached - skipping run, checking out outputs")
    further.end(finished=True)
    assert started == []
    further.read_answers(tiny.commit_of("HEAD"))
    assert [process.arguments[2] for process in started] == [(3, 3)]


def test_another_old_model_than_they_began_with_begins_others(tiny, started):
    further = FurtherTrainings(tiny, "HEAD", -1)
    further.tell("Running stage 'train':")
    further.read_answers("another commit")
    assert [(process.arguments[1], process.ended) for process in started] == [
        (tiny.commit_of("HEAD"), True),
        ("another commit", False),
    ]


@pytest.mark.parametrize("seconds", ["20.0", "nobody knows"])
def test_where_a_training_takes_long_none_begins_and_the_reason_is_told_later(tiny, started, seconds):
    (tiny.root / TRAINING_SECONDS).write_text(seconds)
    further = FurtherTrainings(tiny, "HEAD", -1)
    further.tell("Running stage 'train':")
    assert started == []
    with pytest.raises(Problem, match="control_seeds=2"):
        further.read_answers(tiny.commit_of("HEAD"))


def test_trainings_that_turned_out_to_take_long_beside_another_end_unused(tiny, started):
    further = FurtherTrainings(tiny, "HEAD", -1)
    further.tell("Running stage 'train':")
    (tiny.root / TRAINING_SECONDS).write_text("25.0")
    (note,) = find_chance(tiny, compare_models(tiny), further).notes
    assert "a training takes 25 seconds" in note
    assert started[0].ended


def test_an_interrupt_while_they_are_waited_for_ends_them(tiny, started, monkeypatch):
    def interrupt(process: Started) -> tuple[str, str]:
        if not process.ended:
            raise KeyboardInterrupt
        return "", ""

    monkeypatch.setattr(Started, "communicate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        find_chance(tiny, compare_models(tiny), FurtherTrainings(tiny, "HEAD", 1))
    assert started[0].ended


def test_a_process_that_fails_is_a_problem_with_its_words(tiny, monkeypatch):
    further = FurtherTrainings(tiny, "HEAD", 1)
    monkeypatch.setattr(trainings.sys, "executable", "/bin/false")
    with pytest.raises(Problem, match="further trainings failed"):
        further.read_answers(tiny.commit_of("HEAD"))


@pytest.mark.slow
def test_models_of_a_process_are_those_of_this_one(tiny):
    commit = tiny.commit_of("HEAD")
    further = FurtherTrainings(tiny, "HEAD", 2)
    assert further.read_answers(commit) == train_further(tiny, commit, (2, 2))


@pytest.mark.slow
def test_an_interrupted_training_leaves_no_process(sample, monkeypatch):
    merge_round(sample, plan_sample(sample), sample.root / "extra-data/annotations.json")
    processes = []

    def start(*call: Any) -> Popen[str]:
        processes.append(real(*call))
        return processes[-1]

    real = trainings.start_process
    monkeypatch.setattr(trainings, "start_process", start)

    class Impatient:
        def tell(self, line: str) -> bool:
            if line.startswith("epoch"):
                raise KeyboardInterrupt
            return False

        def end(self, finished: bool) -> None:
            assert not finished

    with pytest.raises(Problem, match="interrupted"):
        retrain(sample, [FurtherTrainings(sample, "HEAD", -1), Impatient()])
    (process,) = processes
    assert process.poll() is not None


@pytest.mark.slow
def test_beside_the_training_they_are_ready_soon_after_it(sample):
    """They answer for every held-out image of today, though they begin before the new model is there."""
    merge_round(sample, plan_sample(sample), sample.root / "extra-data/annotations.json")
    further = FurtherTrainings(sample, "HEAD", -1)
    retrain(sample, [further])
    answers = further.read_answers(sample.commit_of("HEAD"))
    index = pd.read_csv(sample.root / INDEX, dtype=str)
    assert answers.files == index.loc[index["split"] == "held-out", "file"].tolist()
    assert [len(side) for side in (answers.old, answers.new)] == list(choose_trainings(sample, -1))
