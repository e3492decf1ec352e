"""The policy by simulation: which models it accepts, how often, at its default limits."""

import numpy as np
import pandas as pd
import pytest
from score_tables import comparison_of, decided, outcome

from benchmarks.verdicts import POLICY, acceptance, draw_flips, passes_classes, passes_margin


def test_the_simulated_rules_are_those_of_the_decision():
    chance = np.random.default_rng(2)
    for change in (-0.02, 0.0):
        flips = draw_flips(chance, 8, 300, 3, 0.06, change)
        decisions = []
        for support, fixed, broken in zip(*flips, strict=True):
            classes = zip("abc", support, fixed, broken, strict=True)
            scores = [outcome(n - f - b, f, b, label=label) for label, n, f, b in classes]
            rules = {rule.rule: rule.passed for rule in decided(pd.concat(scores)).rules}
            decisions.append((rules["margin"], rules["classes"]))
        assert decisions == list(zip(passes_margin(*flips), passes_classes(*flips), strict=True))
    assert comparison_of(outcome(both=9)).policy == POLICY


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "most"), [(2, 0.06), (10, 0.06), (30, 0.06), (100, 0.08)])
@pytest.mark.parametrize("churn", [0.01, 0.03, 0.06])
@pytest.mark.parametrize("images", [60, 150, 300, 1000, 5000])
def test_a_model_that_is_worse_by_the_margin_is_rarely_accepted(images, classes, churn, most):
    # Three standard errors of 4,000 draws are a point.
    assert acceptance(images, min(classes, images // 2), churn, -0.02, draws=4000) <= most + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("images", "least"), [(300, 0.32), (1000, 0.77)])
def test_an_equally_good_model_has_its_chance(images, least):
    assert acceptance(images, 10, 0.03, 0.0, draws=4000) >= least


@pytest.mark.slow
@pytest.mark.parametrize(("images", "classes"), [(300, 10), (1000, 10), (900, 30), (2000, 100), (3000, 100)])
@pytest.mark.parametrize("churn", [0.01, 0.03, 0.06])
def test_classes_refuse_few_equally_good_models(images, classes, churn):
    flips = draw_flips(np.random.default_rng(3), 2000, images, classes, churn, 0.0)
    assert 1 - passes_classes(*flips).mean() <= 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "least"), [(10, 0.8), (100, 0.75)])
def test_a_single_class_that_falls_by_30_points_is_found(classes, least):
    support, fixed, broken = draw_flips(np.random.default_rng(4), 1000, 30 * classes, classes, 0.03, 0.0)
    broken[:, 0] = np.random.default_rng(5).binomial(30, 0.33, 1000)
    fixed[:, 0] = np.minimum(fixed[:, 0], 30 - broken[:, 0])
    assert 1 - passes_classes(support, fixed, broken).mean() >= least
