"""Intervals and tests: formulas against papers, other libraries and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from helpers.comparison.statistics import difference_interval, find_fallen, is_not_learnt, tango, wilson

pytestmark = pytest.mark.filterwarnings("error")


def score_by_likelihood(fixed, broken, n, difference):
    """Tango's statistic by maximising the likelihood numerically, without his formula."""

    def unlikelihood(share):  # of broken images
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log([share + difference, share, 1 - 2 * share - difference])
        return -np.nansum(np.array([fixed, broken, n - fixed - broken]) * logs)

    bounds = max(0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12
    share = minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (fixed - broken - n * difference) / np.sqrt(n * (2 * share + difference - difference**2))


class TestTango:
    @pytest.mark.parametrize("difference", [-0.3, -0.02, 0.0, 0.01, 0.2])
    @pytest.mark.parametrize(("fixed", "broken", "n"), [(9, 4, 300), (1, 7, 21), (30, 30, 90), (12, 3, 60)])
    def test_is_the_score_at_the_maximum_of_the_likelihood(self, fixed, broken, n, difference):
        expected = score_by_likelihood(fixed, broken, n, difference)
        assert tango(fixed, broken, n, difference) == pytest.approx(expected, abs=1e-4)

    def test_example_of_fagerland_lydersen_and_laake(self):
        # Airway hyper-responsiveness of 21 children: 1 and 7 discordant pairs, 95 % interval −0.517 to −0.026.
        assert difference_interval(1, 7, 21, 0.975) == pytest.approx((-0.517, -0.026), abs=5e-4)

    def test_without_a_difference_it_is_mcnemars(self):
        fixed, broken = np.array([9, 2, 40]), np.array([4, 7, 30])
        assert list(tango(fixed, broken, 300, 0.0)) == pytest.approx((fixed - broken) / np.sqrt(fixed + broken))

    def test_exchanging_the_models_mirrors_the_interval(self):
        low, high = difference_interval(9, 2, 50, 0.95)
        assert difference_interval(2, 9, 50, 0.95) == pytest.approx((-high, -low))

    @pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (0, 1), (6, 0), (0, 6), (3, 3)])
    def test_few_images_leave_an_interval_around_the_difference(self, fixed, broken):
        n = max(1, fixed + broken)
        low, high = difference_interval(fixed, broken, n, 0.95)
        assert -1 <= low <= (fixed - broken) / n <= high <= 1
        assert high - low > 0.4

    def test_identical_answers_exclude_a_loss_of_two_points_from_133_images_on(self):
        lows = [difference_interval(0, 0, n, 0.95)[0] for n in (132, 133)]
        assert [low > -0.02 for low in lows] == [False, True]

    @pytest.mark.parametrize(("gain", "loss"), [(0.01, 0.03), (0.03, 0.05), (0.1, 0.1), (0.05, 0.2)])
    def test_of_a_model_that_is_not_better_the_lower_bound_holds_in_95_percent(self, gain, loss):
        draws = np.random.default_rng(0).multinomial(150, [gain, loss, 1 - gain - loss], size=4000)
        kinds, times = np.unique(draws, axis=0, return_counts=True)
        missed = [difference_interval(fixed, broken, 150, 0.95)[0] > gain - loss for fixed, broken, _ in kinds]
        assert np.average(missed, weights=times) < 0.057


class TestFindFallen:
    def test_a_single_class_is_judged_by_the_exact_sign_test(self):
        for fixed, broken in [(0, 4), (0, 5), (1, 8), (3, 12)]:
            p = binomtest(broken, fixed + broken, alternative="greater").pvalue
            change = np.array([(fixed - broken) / 30])
            found = find_fallen(change, np.array([fixed]), np.array([broken]), drop=0.0)
            assert list(found) == [p <= 0.04]

    def test_classes_that_can_never_be_found_cost_the_others_nothing(self):
        rose, fell = np.zeros(100, int), np.ones(100, int)
        fell[0] = 5  # p = 1/32, which Bonferroni over 100 classes would not find
        assert list(np.flatnonzero(find_fallen(-fell / 30, rose, fell, 0.1))) == [0]
        fell[1] = 5  # two can be found now, at 2 % each
        assert not find_fallen(-fell / 30, rose, fell, 0.1).any()

    def test_a_fall_that_is_certain_but_small_is_none(self):
        arguments = np.array([-0.1]), np.array([0]), np.array([10])
        assert not find_fallen(*arguments, drop=0.1).any()
        assert find_fallen(*arguments, drop=0.09).all()

    def test_no_class_has_not_fallen(self):
        nothing = np.array([], int)
        assert list(find_fallen(nothing, nothing, nothing, 0.1)) == []


@pytest.mark.parametrize("images", [4, 5, 12, 30])
def test_a_new_class_is_not_learnt_if_half_right_is_excluded(images):
    for right in range(images + 1):
        p = binomtest(right, images, alternative="less").pvalue
        assert is_not_learnt(right, images) == (p <= 0.05)


def test_wilson_is_that_of_statsmodels_for_one_share_and_for_columns():
    hits, images = pd.Series([0, 1, 7, 20]), pd.Series([20, 1, 20, 20])
    low, high = wilson(hits, images)
    expected = proportion_confint(hits, images, method="wilson")
    assert (list(low), list(high)) == (pytest.approx(list(expected[0])), pytest.approx(list(expected[1])))
    assert wilson(7, 20) == (low[2], high[2])
