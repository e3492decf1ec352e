"""What the new data brought is estimated with the chance of images and of seeds in it."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from extras.chance.estimate import estimate_brought
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import INDEX, MODEL, PARAMS, read_table
from helpers.pipeline.trial import train_and_predict


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
