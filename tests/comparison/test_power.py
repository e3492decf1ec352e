"""The power of a held-out set: formulas against exact sums and simulation."""

import numpy as np
import pytest
from scipy.stats import multinomial, norm

from helpers.comparison.counting import Pairs
from helpers.comparison.policy import DecideParams
from helpers.comparison.power import (
    chance_of_passing,
    describe_power,
    estimate_flips,
    gain_to_pass,
    images_to_pass,
    luck_of_the_best,
)
from helpers.comparison.statistics import tango

POLICY = DecideParams()


def exact_chance(n: int, fixed: float, broken: float) -> float:
    """The chance of passing the margin as a sum over all outcomes, for true shares of fixed and of broken images."""
    most = np.arange(int(6 * n * max(fixed, broken)) + 12)
    f, b = np.meshgrid(most, most)
    possible = f + b <= n
    f, b = f[possible], b[possible]
    probability = multinomial.pmf(np.column_stack([f, b, n - f - b]), n, [fixed, broken, 1 - fixed - broken])
    return probability[tango(f, b, n, -0.02) > norm.ppf(0.95)].sum()


@pytest.mark.parametrize("flips", [0.02, 0.04, 0.06, 0.12])
@pytest.mark.parametrize("n", [150, 300, 1000])
def test_the_chance_of_an_equal_model_is_near_the_exact_one(n, flips):
    assert chance_of_passing(n, flips, 0.02, 0.95) == pytest.approx(exact_chance(n, flips / 2, flips / 2), abs=0.045)


def test_the_chance_is_right_on_average():
    errors = [
        chance_of_passing(n, flips, 0.02, 0.95) - exact_chance(n, flips / 2, flips / 2)
        for n in (150, 200, 300, 500, 700, 1000)
        for flips in (0.02, 0.04, 0.06, 0.09, 0.12)
    ]
    assert np.abs(errors).mean() < 0.015


@pytest.mark.parametrize(("flips", "images"), [(0.02, 430), (0.04, 702), (0.06, 989), (0.09, 1434), (0.12, 1888)])
def test_with_so_many_images_an_equal_model_passes_in_80_percent(flips, images):
    assert images_to_pass(flips, 0.02, 0.95) == pytest.approx(images, abs=1)
    assert chance_of_passing(images, flips, 0.02, 0.95) == pytest.approx(0.8, abs=0.001)
    assert exact_chance(images, flips / 2, flips / 2) == pytest.approx(0.8, abs=0.04)
    assert gain_to_pass(images, flips, 0.02, 0.95) == pytest.approx(0, abs=1e-4)


def test_a_model_with_the_gain_that_is_named_usually_passes():
    gain = gain_to_pass(150, 0.06, 0.02, 0.95)
    assert exact_chance(150, 0.03 + gain / 2, 0.03 - gain / 2) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("models", [2, 7, 20])
def test_the_best_of_equal_models_looks_as_much_better_as_in_a_simulation(models):
    chance, n, flips = np.random.default_rng(0), 300, 0.06
    # Each model is right on its own images beside those that all get right: two of them differ on `flips` of all.
    right = chance.binomial(n, flips / 2, (20_000, models)) / n
    expected = (right.max(axis=1) - flips / 2).mean()
    assert luck_of_the_best(models, flips, n) == pytest.approx(expected, rel=0.12)


def test_without_flips_their_share_is_assumed_and_the_sentence_says_so():
    assert estimate_flips(Pairs(0, 0, 300, 300)) == 0.03
    assert describe_power(Pairs(0, 0, 300, 300), POLICY) == (
        "With 300 held-out images, an equally good model passes in about 54 % of cases; with 560 in 80 %, if both "
        "models differ on 3 % of the images, which is assumed here."
    )
    assert estimate_flips(Pairs(8, 3, 300, 300)) == 12 / 302


def test_a_set_that_is_large_enough_needs_no_more_images():
    assert describe_power(Pairs(15, 15, 5000, 5000), POLICY) == (
        "With 5,000 held-out images, an equally good model passes in about 100 % of cases."
    )
