"""What the new data brought is told from chance where that is quick, once, and with a reason where it is not told."""

import io
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from round_steps import plan_sample

from extras.chance import FurtherTrainings, find_chance, finding, trainings
from extras.chance.estimate import Brought
from extras.chance.finding import measure_brought
from helpers.comparison.decision import Finding
from helpers.comparison.scores import Comparison
from helpers.pipeline.paths import INDEX, RAW, TRAINING_SECONDS
from helpers.problems import Problem
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.verdict import decide_round
from helpers.workspace import DECISION, Workspace
from helpers.workspace.stages import reproduce


class Done(NamedTuple):
    """A process that has ended, and what it wrote."""

    output: str
    returncode: int = 0

    def communicate(self) -> tuple[str, str]:
        return self.output, ""

    def kill(self) -> None:
        pass


@pytest.fixture
def trained(tiny, monkeypatch):
    """A tiny workspace whose further trainings take no time, with a list of their seeds and training images."""

    def err_as_often_as_the_seed_is_above_42(root, index, like, images, params):
        assert all((root / RAW / file).is_file() for file in index["file"])
        trained.append((params.seed, int(index["split"].eq("train").sum())))
        actual = images_of_today.loc[images["file"]].to_numpy(dtype=object)
        return np.where(np.arange(len(images)) < params.seed - 42, "wrong", actual)

    def work_at_once(workspace, commit, extra):
        monkeypatch.chdir(workspace.root)
        monkeypatch.setattr("sys.argv", ["trainings", commit, *map(str, extra)])
        with redirect_stdout(io.StringIO()) as output:
            trainings.main()
        return Done(output.getvalue())

    trained: list[tuple[int, int]] = []
    images_of_today = pd.read_csv(tiny.root / INDEX).set_index("file")["label"]
    monkeypatch.setattr(trainings, "start_process", work_at_once)
    monkeypatch.setattr(trainings, "train_and_predict", err_as_often_as_the_seed_is_above_42)
    (tiny.root / TRAINING_SECONDS).write_text("9.0")
    return tiny, trained


def find(workspace: Workspace, compared: Comparison, seeds: int) -> Finding:
    return find_chance(workspace, compared, FurtherTrainings(workspace, "HEAD", seeds))


def measure(workspace: Workspace, seeds: int) -> Brought:
    return measure_brought(workspace, compare_models(workspace), FurtherTrainings(workspace, "HEAD", seeds))


class TestMeasure:
    @pytest.mark.parametrize(
        ("seconds", "seeds", "expected"),
        [
            (9, -1, [43, 43, 44, 44]),
            (19, -1, [43, 44, 45]),
            (99, 1, [43, 43]),
        ],
    )
    def test_trainings_depend_on_how_long_one_takes_or_on_the_parameter(self, trained, seconds, seeds, expected):
        workspace, done = trained
        (workspace.root / TRAINING_SECONDS).write_text(f"{seconds}.0")
        brought = measure(workspace, seeds)
        assert sorted(seed for seed, _ in done) == expected
        assert sum(brought.models) == 2 + len(expected)

    def test_each_side_has_its_own_images(self, trained):
        workspace, done = trained
        index = workspace.root / INDEX
        index.write_text("".join(index.read_text().splitlines(keepends=True)[:-3]))  # today's are fewer
        (workspace.root / TRAINING_SECONDS).write_text("9.0")
        today = pd.read_csv(index)["split"].eq("train").sum()
        with pytest.raises(Problem, match="3 of the 24 images of the old model are gone"):
            measure(workspace, 1)
        assert today < 17
        assert done == []

    def test_an_image_that_has_another_name_by_now_is_found(self, trained):
        workspace, done = trained
        index = workspace.root / INDEX
        (workspace.raw / "dark/0.png").rename(workspace.raw / "dark/renamed.png")
        index.write_text(index.read_text().replace("dark/0.png", "dark/renamed.png"))
        measure(workspace, 1)
        assert done == [(43, 17), (43, 17)]

    def test_the_same_models_are_not_measured_again(self, trained):
        workspace, done = trained
        compared = compare_models(workspace)
        found = find(workspace, compared, 2)
        tally = {"population": "together", **compared.tally.loc["together"].to_dict()}
        record: dict[str, Any] = {"model": compared.new, "baseline_commit": compared.baseline, "images": [tally]}
        record |= {"schema": 4, "findings": {"chance": found.record | {"low": -0.77}}}
        workspace.save(DECISION, record)
        done.clear()
        for seeds in (2, 1, -1):
            assert find(workspace, compared, seeds).record["low"] == -0.77
        assert done == []
        for other in ({"model": "another"}, {"images": [tally | {"broken": 3}]}):
            workspace.save(DECISION, record | other)
            assert find(workspace, compared, 2).record["low"] != -0.77
        workspace.save(DECISION, record)
        assert find(workspace, compared, 3).record["models"] == (4, 4)

    @pytest.mark.parametrize(
        ("seconds", "seeds", "reason"),
        [
            ("20.0", -1, "a training takes 20 seconds; `control_seeds=2` trains twice more"),
            ("nobody knows", -1, "no training here was timed; `control_seeds=2` trains twice more"),
            ("1.0", 0, "`control_seeds` is 0."),
        ],
    )
    def test_whatever_is_not_measured_has_a_reason(self, trained, seconds, seeds, reason):
        workspace, _ = trained
        (workspace.root / TRAINING_SECONDS).write_text(seconds)
        found = find(workspace, compare_models(workspace), seeds)
        assert (found.record, found.row, found.headline) == (None, None, "")
        assert found.notes[0].startswith("What the new data brought, apart from chance, is not measured: " + reason)

    def test_a_first_model_has_brought_nothing_to_measure(self, trained):
        workspace, _ = trained
        compared = compare_models(workspace)
        without = type(compared)(compared.scores, compared.lineage, compared.new, "", compared.baseline)
        assert find(workspace, without, 2).notes == ()


class TestWords:
    @pytest.fixture
    def say(self, monkeypatch, tiny):
        def say(low: float, high: float, changed: tuple[str, ...] = ()):
            brought = Brought((low + high) / 2, low, high, (3, 3))
            monkeypatch.setattr(finding, "measure_brought", lambda *_: brought)
            monkeypatch.setattr(finding, "list_changes", lambda *_: changed)
            return find(tiny, compare_models(tiny), 2)

        return say

    def test_a_gain_of_the_labels_is_said_in_headline_note_and_row(self, say):
        found = say(0.008, 0.052)
        assert found.headline == "the new labels brought +3.0 (+0.8 to +5.2)"
        (note,) = found.notes
        assert note.startswith("The new labels brought +3.0 points (95 % interval +0.8 to +5.2; ")
        assert note.endswith("the images and the chance of 3 + 3 trainings are in it).")
        assert found.row[1:] == (0.03, 0.008, 0.052)

    def test_where_chance_alone_may_explain_it_the_headline_says_so(self, say):
        assert say(-0.01, 0.02).headline.startswith("chance alone may explain it: the new labels brought +0.5")

    def test_labels_alone_get_no_credit_where_settings_changed_too(self, say):
        found = say(0.01, 0.03, ("train.epochs: 8 → 12",))
        assert found.headline.startswith("new labels and settings together brought +2.0")
        assert found.notes[0].startswith("New labels and settings together brought")


@pytest.mark.slow
def test_what_a_round_brought_is_measured_once(sample, monkeypatch):
    plan, export = plan_sample(sample), sample.root / "extra-data/annotations.json"
    merge_round(sample, plan, export)
    reproduce(sample)
    compared = compare_models(sample)
    found = find(sample, compared, -1)
    assert 0 < found.record["difference"] < compared.summary["difference"]["together", "accuracy"]
    decision = decide_round(sample, compared, export, plan, {"chance": found})
    assert "the new labels brought" in decision.headline
    monkeypatch.setattr(trainings, "start_process", None)
    assert find(sample, compared, -1).headline == decision.headline
