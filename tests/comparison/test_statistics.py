"""Intervals and tests: formulas against papers and other libraries."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from helpers.comparison.statistics import bonett_price, mcnemar, wilson

pytestmark = pytest.mark.filterwarnings("error")


class TestBonettPrice:
    def test_example_of_the_author(self):
        # Bonett's own R functions: CIpropWS(.05, 26, 4, 40) gives 0.3126438 0.7349752.
        assert bonett_price(26, 4, 40) == pytest.approx((0.3126438, 0.7349752), abs=1e-7)

    def test_exchanging_the_models_mirrors_the_interval(self):
        low, high = bonett_price(9, 2, 50)
        assert bonett_price(2, 9, 50) == pytest.approx((-high, -low))

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_almost_no_images_leave_almost_everything_possible(self, n):
        low, high = bonett_price(n, 0, n)
        assert -1 <= low < 0 < high <= 1

    @pytest.mark.parametrize(("gain", "loss"), [(0.03, 0.01), (0.05, 0.03), (0.1, 0.1), (0.2, 0.05)])
    def test_covers_the_truth_in_at_least_95_percent(self, gain, loss):
        draws = np.random.default_rng(0).multinomial(60, [gain, loss, 1 - gain - loss], size=2000)
        kinds, times = np.unique(draws, axis=0, return_counts=True)
        covered = [low <= gain - loss <= high for low, high in (bonett_price(g, m, 60) for g, m, _ in kinds)]
        assert np.average(covered, weights=times) > 0.945


class TestMcNemar:
    def test_example_of_fagerland_lydersen_and_laake(self):
        # Airway hyper-responsiveness of 21 children: 1 and 7 discordant pairs, mid-p 0.0391, exact p 0.0703.
        assert mcnemar(7, 1) == pytest.approx((0.0391, 0.0703), abs=5e-5)

    @pytest.mark.parametrize(("gained", "lost"), [(0, 5), (5, 5), (16, 6), (60, 31), (400, 420)])
    def test_exact_p_is_that_of_statsmodels(self, gained, lost):
        expected = statsmodels_mcnemar([[10, gained], [lost, 3]], exact=True).pvalue
        assert mcnemar(gained, lost)[1] == pytest.approx(expected)

    @pytest.mark.parametrize(("gained", "lost"), [(0, 5), (5, 5), (16, 6), (60, 31)])
    def test_mid_p_counts_outcomes_as_extreme_as_the_observed_one_half(self, gained, lost):
        flips = gained + lost
        outcomes = np.arange(flips + 1)
        distance, observed = np.abs(2 * outcomes - flips), abs(gained - lost)
        weight = np.where(distance > observed, 1, np.where(distance == observed, 0.5, 0))
        assert mcnemar(gained, lost)[0] == pytest.approx((weight * binom.pmf(outcomes, flips, 0.5)).sum())

    def test_no_flips_are_no_evidence(self):
        assert mcnemar(0, 0) == (1, 1)

    def test_five_flips_can_never_be_significant(self):
        assert mcnemar(5, 0)[1] > 0.05 > mcnemar(6, 0)[1]


def test_wilson_is_that_of_statsmodels_for_one_share_and_for_columns():
    hits, images = pd.Series([0, 1, 7, 20]), pd.Series([20, 1, 20, 20])
    low, high = wilson(hits, images)
    expected = proportion_confint(hits, images, method="wilson")
    assert (list(low), list(high)) == (pytest.approx(list(expected[0])), pytest.approx(list(expected[1])))
    assert wilson(7, 20) == (low[2], high[2])
