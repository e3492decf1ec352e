"""The decision about a model: verdicts and rules against cases made by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from score_tables import POLICY, compared, comparison_of, decided, images, noisy, outcome, says
from statsmodels.stats.proportion import proportion_confint

from helpers.comparison.decision import Finding, Row, decide
from helpers.comparison.record import Decision, Rule
from helpers.comparison.scores import score_images
from helpers.comparison.statistics import bonett_price
from helpers.comparison.tables import flips, per_class, tally

pytestmark = pytest.mark.filterwarnings("error")


def failed(decision):
    return [rule.rule for rule in decision.rules if not rule.passed]


class TestDecide:
    @pytest.mark.parametrize(
        ("counts", "verdict", "accepted", "sentence"),
        [
            # Bonett and Price by hand: 18/202 ± 1.96 √((24/202 − (18/202)²)/202)
            ((170, 20, 2, 8), "better", True, "95.0 % of 200 held-out images right, 86.0 % before"),
            ((170, 20, 2, 8), "better", True, "(difference +9.0 points, 95 % interval +4.3 to +13.5)."),
            ((170, 2, 20, 8), "worse", False, "difference −9.0 points, 95 % interval −13.5 to −4.3"),
            ((950, 1, 1, 48), "equivalent", True, "difference 0 points"),
            ((45, 2, 1, 2), "undecided", False, "too few images to tell"),
            ((950, 20, 12, 18), "undecided", True, "too few images to tell"),  # but not worse by the margin
        ],
    )
    def test_the_interval_gives_the_verdict_and_the_margin_the_acceptance(self, counts, verdict, accepted, sentence):
        decision = decided(outcome(*counts))
        assert (decision.verdict, decision.accepted) == (verdict, accepted)
        assert decision.sentence.startswith(f"{verdict.capitalize()}: ")
        assert sentence in decision.sentence

    def test_first(self):
        held_out = images(["cat", "dog"] * 20)
        decision = decided(score_images(held_out, says(held_out, ["cat"] * 2 + ["cat", "dog"] * 19)))
        assert decision.verdict == "first"
        assert decision.accepted
        low, high = proportion_confint(39, 40, method="wilson")
        assert decision.sentence.startswith(
            f"First model: 97.5 % of 40 held-out images right, 95 % interval {100 * low:.1f} % to {100 * high:.1f} %"
        )

    @pytest.mark.parametrize("n", [0, 1, 5])
    def test_too_few_images_give_no_number(self, n):
        decision = decided(pd.concat([outcome(fixed=n), outcome(both=7, population="leaked")]))
        assert decision.verdict == "undecided"
        assert failed(decision) == ["enough images"]
        assert decision.sentence == f"Undecided: {n} of {n + 7} held-out images can be scored, too few to say anything."

    def test_six_images_are_enough_for_a_verdict(self):
        decision = decided(outcome(fixed=6))
        assert (decision.verdict, failed(decision)) == ("better", [])

    def test_margin_fails_where_a_loss_cannot_be_excluded(self):
        scores = outcome(both=90, fixed=4, broken=2, neither=4)
        assert failed(decided(scores)) == ["margin"]
        assert failed(decided(scores, margin=0.10)) == []

    def test_an_interval_that_begins_at_the_margin_does_not_lie_above_it(self):
        low, _ = bonett_price(4, 2, 100)
        assert failed(decided(outcome(both=94, fixed=4, broken=2), margin=-low)) == ["margin"]

    def test_a_margin_of_nothing_is_not_written_as_minus_nothing(self):
        rules = decided(outcome(both=50), margin=0.0).rules
        assert "must lie above 0." in next(rule.explanation for rule in rules if rule.rule == "margin")

    def test_negative_flips_fail_above_their_cap_even_if_the_model_is_better(self):
        scores = outcome(both=200, fixed=60, broken=20, neither=20)
        decision = decided(scores)
        assert decision.verdict == "better"
        assert not decision.accepted
        assert failed(decision) == ["negative flips"]
        assert failed(decided(scores, max_negative_flips=20 / 300)) == []

    def test_a_class_that_falls_fails(self):
        scores = pd.concat([outcome(both=150, fixed=40), outcome(both=8, broken=2, label="dog")])
        assert failed(decided(scores, max_class_drop=0.19)) == ["classes"]
        explanation = next(r.explanation for r in decided(scores).rules if r.rule == "classes")
        assert "dog (100.0 % of 10 before, 80.0 % now)" in explanation
        assert failed(decided(scores, min_class_support=11)) == []

    @pytest.mark.parametrize("right_before", range(1, 11))
    def test_a_fall_of_exactly_the_limit_passes(self, right_before):
        dogs = outcome(both=right_before - 1, broken=1, neither=10 - right_before, label="dog")
        assert failed(decided(pd.concat([outcome(both=150, fixed=40), dogs]), max_class_drop=0.1)) == []

    def test_a_gain_on_new_images_does_not_hide_a_loss_on_the_frozen_ones(self):
        scores = pd.concat([outcome(both=88, broken=12), outcome(both=300, fixed=90, population="new")])
        decision = decided(scores, max_class_drop=1.0)
        assert decision.verdict == "better"
        assert failed(decision) == ["populations"]
        assert "frozen (−18.6 to −4.9 points)" in next(r.explanation for r in decision.rules if r.rule == "populations")

    def test_worse_is_never_accepted_however_small_the_loss(self):
        decision = decided(outcome(both=950, broken=30), margin=0.05)
        assert decision.verdict == "worse"
        assert failed(decision) == ["populations"]

    def test_notes_say_what_limits_the_comparison(self):
        held_out = images(["cat"] * 10 + ["fox"] * 3 + ["cat"] * 2)
        old, new = says(held_out, ["cat"] * 15, ["cat", "dog"]), says(held_out, ["cat"] * 15)
        index = held_out.assign(split=["held-out"] * 13 + ["train"] * 2)
        decision = decided(score_images(held_out, new.assign(dog=0.0), old, index), changed=["train.epochs 8 → 12"])
        assert decision.notes == [
            "Not only the data changed (train.epochs 8 → 12): the difference is not the data's alone.",
            "Not scored, because the old model trained on them, or nobody can tell: 2 of 15 images.",
            "Not scored, because only the new model knows their class (fox): 3 of 15 images.",
        ]

    def test_a_plain_comparison_has_no_note(self):
        assert decided(outcome(both=50)).notes == []


def one_class_of_one_image():
    return compared(["cat", "dog"] * 20 + ["fox"], ["cat", "dog"] * 20 + ["cat"], ["cat", "dog"] * 20 + ["fox"])


def no_common_class():
    held_out = images(["cat", "dog"] * 20)
    return score_images(held_out, says(held_out, held_out["label"]), says(held_out, ["1"] * 40, ["1", "2"]), held_out)


def a_new_class():
    held_out = images(["cat", "dog"] * 20 + ["fox"] * 10)
    old = says(held_out, ["cat", "dog"] * 25, ["cat", "dog"])
    return score_images(held_out, says(held_out, held_out["label"]), old, held_out)


def random_models(n, classes):
    rng = np.random.default_rng(5)
    names = [f"class {number}" for number in range(classes)]
    actual = rng.choice(names, n)
    populations = ("frozen", "new", "frozen", "leaked")
    return compared(actual, noisy(rng, actual, 0.8, names), noisy(rng, actual, 0.9, names), populations)


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param(random_models(40, 2), id="two classes, 40 images"),
        pytest.param(random_models(1500, 100), id="100 classes"),
        pytest.param(one_class_of_one_image(), id="a class with one image"),
        pytest.param(a_new_class(), id="a new class"),
        pytest.param(no_common_class(), id="no common class"),
        pytest.param(outcome(both=40), id="identical models"),
        pytest.param(outcome(neither=40), id="both always wrong"),
        pytest.param(outcome(both=1), id="one image"),
        pytest.param(outcome(both=20, population="leaked"), id="all leaked"),
        pytest.param(outcome(), id="no image"),
    ],
)
def test_any_set_of_images_gives_a_report(scores):
    """No warning, no traceback, nothing that JSON cannot hold."""
    assert len(flips(scores)) == tally(scores).loc["together", ["fixed", "broken"]].sum()
    assert per_class(scores)["support"].sum() == (scores["population"] != "leaked").sum()
    decision = decided(scores, changed=["train.epochs 8 → 12"])
    assert Decision.from_json(json.loads(json.dumps(decision.to_json(), allow_nan=False))) == decision


def test_findings_of_extras_decide_and_are_kept_in_their_order():
    comparison = comparison_of(outcome(both=400))
    findings = {
        "one": Finding([Rule("labels", True, "2 wrong.")], ["A note."], "the data did it", record={"wrong": 2}),
        "two": Finding([Rule("luck", None, "Nobody knows.")], ["Another."], row=Row("luck", [0.1]), section="two"),
    }
    plain, decision = decide(comparison, POLICY), decide(comparison, POLICY, findings)
    assert [rule.rule for rule in decision.rules] == [*(rule.rule for rule in plain.rules), "labels", "luck"]
    assert decision.notes == [*plain.notes, "A note.", "Another."]
    assert (decision.accepted, decision.failures) == (True, [])
    assert decision.headline == "the data did it"
    assert decision.findings == {"one": {"wrong": 2}, "two": None}


def test_a_rule_of_an_extra_that_fails_refuses_the_model():
    finding = Finding([Rule("labels", False, "9 of 100 are wrong.")])
    decision = decide(comparison_of(outcome(both=400)), POLICY, {"labels": finding})
    assert decision.accepted is False
    assert decision.failures == ["9 of 100 are wrong."]
