"""What the new data brought is told from chance where that is quick, once, and with a reason where it is not told."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
import pytest
from round_steps import plan_sample
from scipy.stats import norm

from extras import chance
from extras.chance import estimate_brought, find_chance, measure_brought
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import INDEX, MODEL, PARAMS, RAW, TRAINING_SECONDS, read_table
from helpers.pipeline.trial import train_and_predict
from helpers.problems import Problem
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.verdict import decide_round
from helpers.workspace import DECISION
from helpers.workspace.stages import reproduce


class InThisProcess(ThreadPoolExecutor):
    """Trains without the seconds that a process of its own takes to start."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(max_workers=1)


@pytest.fixture
def trained(tiny, monkeypatch):
    """A tiny workspace whose further trainings take no time, with a list of their seeds and training images."""

    def err_as_often_as_the_seed_is_above_42(root, index, like, images, params):
        assert all((root / RAW / file).is_file() for file in index["file"])
        trained.append((params.seed, int(index["split"].eq("train").sum())))
        return np.where(np.arange(len(images)) < params.seed - 42, "wrong", images_of_today.loc[images["file"]])

    trained: list[tuple[int, int]] = []
    images_of_today = pd.read_csv(tiny.root / INDEX).set_index("file")["label"]
    monkeypatch.setattr(chance, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(chance, "train_and_predict", err_as_often_as_the_seed_is_above_42)
    (tiny.root / TRAINING_SECONDS).write_text("9.0")
    return tiny, trained


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
        workspace, trainings = trained
        (workspace.root / TRAINING_SECONDS).write_text(f"{seconds}.0")
        brought = measure_brought(workspace, compare_models(workspace), seeds)
        assert sorted(seed for seed, _ in trainings) == expected
        assert sum(brought.models) == 2 + len(expected)

    def test_each_side_has_its_own_images(self, trained):
        workspace, trainings = trained
        index = workspace.root / INDEX
        index.write_text("".join(index.read_text().splitlines(keepends=True)[:-3]))  # today's are fewer
        (workspace.root / TRAINING_SECONDS).write_text("9.0")
        today = pd.read_csv(index)["split"].eq("train").sum()
        with pytest.raises(Problem, match="3 of the 24 images of the old model are gone"):
            measure_brought(workspace, compare_models(workspace), 1)
        assert today < 17
        assert trainings == []

    def test_an_image_that_has_another_name_by_now_is_found(self, trained):
        workspace, trainings = trained
        index = workspace.root / INDEX
        (workspace.raw / "dark/0.png").rename(workspace.raw / "dark/renamed.png")
        index.write_text(index.read_text().replace("dark/0.png", "dark/renamed.png"))
        measure_brought(workspace, compare_models(workspace), 1)
        assert trainings == [(43, 17), (43, 17)]

    def test_the_same_models_are_not_measured_again(self, trained):
        workspace, trainings = trained
        compared = compare_models(workspace)
        finding = find_chance(workspace, compared, 2)
        tally = {"population": "together", **compared.tally.loc["together"].to_dict()}
        record: dict[str, Any] = {"model": compared.new, "baseline_commit": compared.baseline, "images": [tally]}
        record |= {"schema": 4, "findings": {"chance": finding.record | {"low": -0.77}}}
        workspace.save(DECISION, record)
        trainings.clear()
        for seeds in (2, 1, -1):
            assert find_chance(workspace, compared, seeds).record["low"] == -0.77
        assert trainings == []
        for other in ({"model": "another"}, {"images": [tally | {"broken": 3}]}):
            workspace.save(DECISION, record | other)
            assert find_chance(workspace, compared, 2).record["low"] != -0.77
        workspace.save(DECISION, record)
        assert find_chance(workspace, compared, 3).record["models"] == (4, 4)

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
        finding = find_chance(workspace, compare_models(workspace), seeds)
        assert (finding.record, finding.row, finding.headline) == (None, None, "")
        assert finding.notes[0].startswith("What the new data brought, apart from chance, is not measured: " + reason)

    def test_a_first_model_has_brought_nothing_to_measure(self, trained):
        workspace, _ = trained
        compared = compare_models(workspace)
        without = type(compared)(compared.scores, compared.lineage, compared.new, "", compared.baseline)
        assert find_chance(workspace, without, 2).notes == ()


class TestWords:
    @pytest.fixture
    def say(self, monkeypatch, tiny):
        def say(low: float, high: float, changed: tuple[str, ...] = ()):
            brought = chance.Brought((low + high) / 2, low, high, (3, 3))
            monkeypatch.setattr(chance, "measure_brought", lambda *_: brought)
            monkeypatch.setattr(chance, "list_changes", lambda *_: changed)
            return find_chance(tiny, compare_models(tiny), 2)

        return say

    def test_a_gain_of_the_labels_is_said_in_headline_note_and_row(self, say):
        finding = say(0.008, 0.052)
        assert finding.headline == "the new labels brought +3.0 (+0.8 to +5.2)"
        (note,) = finding.notes
        assert note.startswith("The new labels brought +3.0 points (95 % interval +0.8 to +5.2; ")
        assert note.endswith("the images and the chance of 3 + 3 trainings are in it).")
        assert finding.row[1:] == (0.03, 0.008, 0.052)

    def test_where_chance_alone_may_explain_it_the_headline_says_so(self, say):
        assert say(-0.01, 0.02).headline.startswith("chance alone may explain it: the new labels brought +0.5")

    def test_labels_alone_get_no_credit_where_settings_changed_too(self, say):
        finding = say(0.01, 0.03, ("train.epochs: 8 → 12",))
        assert finding.headline.startswith("new labels and settings together brought +2.0")
        assert finding.notes[0].startswith("New labels and settings together brought")


class TestEstimate:
    def test_with_equal_models_on_each_side_it_is_the_paired_interval_of_the_images(self):
        right = np.random.default_rng(0).random((2, 2000)) < [[0.8], [0.85]]
        old, new = np.tile(right[0], (3, 1)), np.tile(right[1], (3, 1))
        difference, low, high, models = estimate_brought(old, new)
        gains = right[1].astype(float) - right[0]
        reach = norm.ppf(0.975) * gains.std(ddof=1) / np.sqrt(2000)
        assert difference == pytest.approx(gains.mean())
        assert (low, high) == pytest.approx((difference - reach, difference + reach), abs=2e-4)
        assert models == (3, 3)

    def test_identical_answers_leave_a_doubt(self):
        _, low, high, _ = estimate_brought(np.ones((2, 50), bool), np.ones((2, 50), bool))
        assert low < -0.05 < 0.05 < high

    def test_scenes_of_equal_images_tell_as_much_as_one_image_each(self):
        right = np.random.default_rng(0).random((2, 200)) < [[0.8], [0.85]]
        ten, scenes = right.repeat(10, axis=1), pd.Series(range(200)).repeat(10)

        def estimate(right: np.ndarray, scenes: pd.Series | None = None) -> tuple[float, ...]:
            return estimate_brought(np.tile(right[0], (3, 1)), np.tile(right[1], (3, 1)), scenes)[:3]

        assert estimate(ten, scenes) == pytest.approx(estimate(right), abs=2e-4)
        assert estimate(ten)[1] > estimate(right)[1] + 0.03  # counted as images, they would claim more

    @pytest.mark.slow
    @pytest.mark.parametrize("models", [(4, 1), (3, 3)])
    def test_it_covers_a_known_truth_over_images_and_seeds(self, models):
        """Each image has a chance of its own to be told by a model; a seed moves the skill of its whole model."""
        rng, missed = np.random.default_rng(0), []
        for _ in range(4000):
            ease = rng.normal(1, 1.5, 300)
            sides = [
                rng.random((number, 300)) < norm.cdf(ease + gain + rng.normal(0, 0.15, (number, 1)))
                for number, gain in zip(models, (0.0, 0.3), strict=True)
            ]
            _, low, high, _ = estimate_brought(*sides)
            truth = norm.cdf((1 + np.array([0.0, 0.3])) / np.sqrt(1 + 1.5**2 + 0.15**2)) @ [-1, 1]
            missed.append((low > truth, high < truth))
        assert np.mean(missed, axis=0).max() <= 0.05

    @pytest.mark.slow
    def test_two_groups_of_trainings_on_the_same_digits_rarely_seem_to_differ(self, right_answers):
        rng = np.random.default_rng(1)
        for old, new in [(4, 1), (3, 3)]:
            missed = []
            for _ in range(2000):
                chosen = rng.permutation(len(right_answers))[: old + new]
                images = rng.integers(right_answers.shape[1], size=right_answers.shape[1])
                _, low, high, _ = estimate_brought(
                    right_answers[chosen[:old]][:, images], right_answers[chosen[old:]][:, images]
                )
                missed.append((low > 0, high < 0))
            assert np.mean(missed, axis=0).max() <= 0.05


@pytest.fixture(scope="module")
def right_answers(pristine) -> np.ndarray:
    """Which held-out digits each of 24 trainings on the sample's first images gets right: bool [24, images]."""
    root = pristine
    index, params = read_table((root / INDEX).read_bytes()), read_params(TrainParams, root / PARAMS)
    held_out, model = index[index["split"] == "held-out"], load_classifier((root / MODEL).read_bytes())
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        settings = [params.model_copy(update={"seed": seed}) for seed in range(24)]
        answers = pool.map(partial(train_and_predict, root, index, model, held_out), settings)
        return np.array([answer == held_out["label"].to_numpy() for answer in answers])


@pytest.mark.slow
def test_what_a_round_brought_is_measured_once(sample, monkeypatch):
    plan, export = plan_sample(sample), sample.root / "extra-data/annotations.json"
    merge_round(sample, plan, export)
    reproduce(sample)
    compared = compare_models(sample)
    finding = find_chance(sample, compared, -1)
    assert 0 < finding.record["difference"] < compared.summary["difference"]["together", "accuracy"]
    decision = decide_round(sample, compared, export, plan, {"chance": finding})
    assert "the new labels brought" in decision.headline
    monkeypatch.setattr("extras.chance.ProcessPoolExecutor", None)
    assert find_chance(sample, compared, -1).headline == decision.headline
