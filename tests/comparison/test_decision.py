"""The decision about a model: verdicts and rules against cases made by hand."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from score_tables import FACTS, compared, comparison_of, decided, images, noisy, outcome, says
from statsmodels.stats.proportion import proportion_confint

from helpers.comparison.decision import Finding, Row, decide, list_facts
from helpers.comparison.record import Decision, Rule
from helpers.comparison.scores import score_images
from helpers.comparison.statistics import difference_interval
from helpers.comparison.tables import flips, per_class, tally

pytestmark = pytest.mark.filterwarnings("error")


def failed(decision):
    return [rule.rule for rule in decision.rules if not rule.passed]


def explanation(decision, name):
    return next(rule.explanation for rule in decision.rules if rule.rule == name)


class TestDecide:
    @pytest.mark.parametrize(
        ("counts", "verdict", "accepted", "sentence"),
        [
            ((170, 20, 2, 8), "better", True, "95.0 % of 200 held-out images right, 86.0 % before"),
            ((170, 20, 2, 8), "better", True, "(difference +9.0 points, 90 % interval +5.6 to +13.2)."),
            ((170, 2, 20, 8), "worse", False, "difference −9.0 points, 90 % interval −13.2 to −5.6"),
            ((950, 1, 1, 48), "equivalent", True, "difference 0 points"),
            ((45, 2, 1, 2), "undecided", False, "too few images to tell"),
            ((450, 20, 13, 17), "undecided", True, "too few images to tell"),  # but not worse by the margin
            ((950, 0, 4, 46), "worse", True, "difference −0.4 points"),
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
        assert decision.new_classes == []
        low, high = proportion_confint(39, 40, method="wilson")
        assert decision.sentence.startswith(
            f"First model: 97.5 % of 40 held-out images right, 95 % interval {100 * low:.1f} % to {100 * high:.1f} %"
        )

    @pytest.mark.parametrize("n", [0, 1, 5])
    def test_too_few_images_give_no_number(self, n):
        decision = decided(pd.concat([outcome(fixed=n), outcome(both=7, population="leaked")]))
        assert decision.verdict == "undecided"
        assert failed(decision) == ["enough"]
        assert decision.sentence == f"Undecided: {n} of {n + 7} held-out images can be scored, too few to say anything."

    def test_six_images_are_enough_for_a_verdict(self):
        decision = decided(outcome(fixed=6))
        assert (decision.verdict, failed(decision)) == ("better", [])

    def test_margin_fails_where_a_loss_cannot_be_excluded(self):
        scores = outcome(both=90, fixed=4, broken=2, neither=4)
        assert failed(decided(scores)) == ["margin"]
        assert failed(decided(scores, margin=0.10)) == []

    def test_less_confidence_accepts_more_and_names_another_interval(self):
        scores = outcome(both=276, fixed=9, broken=9, neither=6)
        assert failed(decided(scores, confidence=0.95)) == ["margin"]
        decision = decided(scores, confidence=0.9)
        assert failed(decision) == []
        assert "80 % interval" in decision.sentence
        assert "80 % interval" in explanation(decision, "margin")

    def test_an_interval_that_begins_at_the_margin_does_not_lie_above_it(self):
        low, _ = difference_interval(4, 2, 100, 0.95)
        assert failed(decided(outcome(both=94, fixed=4, broken=2), margin=-low)) == ["margin"]

    def test_a_margin_of_nothing_is_not_written_as_minus_nothing(self):
        decision = decided(outcome(both=150), margin=0.0)
        assert "must lie above 0." in explanation(decision, "margin")
        assert "an equally good model passes in about 5 % of cases, if both" in decision.notes[0]

    def test_a_set_that_is_too_small_for_identical_answers_says_which_gain_it_takes(self):
        sentence = "64 held-out images: no model can be accepted unless it is better by about 4 points."
        assert sentence in explanation(decided(outcome(both=64)), "margin")
        assert "held-out images:" not in explanation(decided(outcome(both=133)), "margin")

    def test_a_class_that_falls_beyond_chance_fails(self):
        scores = pd.concat([outcome(both=250, fixed=40), outcome(both=24, broken=6, label="dog")])
        assert failed(decided(scores)) == ["classes"]
        assert failed(decided(scores, max_class_drop=0.2)) == []
        assert "dog (100.0 % of 30 before, 80.0 % now)" in explanation(decided(scores), "classes")

    def test_a_fall_that_chance_explains_passes(self):
        scores = pd.concat([outcome(both=250, fixed=40), outcome(both=8, broken=2, label="dog")])
        assert failed(decided(scores)) == []

    def test_a_gain_on_new_images_does_not_hide_a_loss_on_the_frozen_ones(self):
        scores = pd.concat([outcome(both=88, broken=12), outcome(both=300, fixed=90, population="new")])
        decision = decided(scores, max_class_drop=1.0)
        assert decision.verdict == "better"
        assert failed(decision) == ["populations"]
        assert "frozen (−18.4 to −7.6 points)" in explanation(decision, "populations")

    def test_a_population_may_lose_less_than_the_margin(self):
        scores = pd.concat([outcome(both=1985, broken=15), outcome(both=300, fixed=30, population="new")])
        frozen = comparison_of(scores).summary.loc[("frozen", "accuracy")]
        assert -0.02 < frozen["high"] < 0
        assert failed(decided(scores)) == []

    def test_new_classes_stand_beside_the_comparison_and_are_refused_if_they_are_not_learnt(self):
        known = outcome(both=300)

        def with_foxes(right, n):
            held_out = images(["fox"] * n, start=1000)
            old = says(held_out, ["cat"] * n, ["cat", "dog"])
            new = says(held_out, ["fox"] * right + ["cat"] * (n - right), ["cat", "fox"])
            return decided(pd.concat([known, score_images(held_out, new, old, held_out)]))

        for right, n, refused in [(0, 4, False), (0, 5, True), (1, 8, True), (2, 8, False), (20, 20, False)]:
            decision = with_foxes(right, n)
            assert failed(decision) == ["new classes"] * refused
            assert f"fox ({right} of {n} right)" in dict(list_facts(replace(decision, **FACTS)))["New classes"]
            assert decision.accuracy["images"] == 300

    def test_a_class_that_the_new_model_has_lost_counts_as_wrong(self):
        held_out = images(["cat"] * 300 + ["dog"] * 20)
        old = says(held_out, held_out["label"], ["cat", "dog"])
        new = says(held_out, ["cat"] * 320, ["cat", "other"])
        decision = decided(score_images(held_out, new, old, held_out))
        assert failed(decision) == ["margin", "populations", "classes"]
        assert "dog (100.0 % of 20 before, 0.0 % now)" in explanation(decision, "classes")
        assert dict(list_facts(replace(decision, **FACTS)))["Lost classes"] == "dog (20 of 20 right before)"

    def test_notes_say_what_limits_the_comparison(self):
        held_out = images(["cat"] * 10 + ["fox"] * 3 + ["cat"] * 2)
        old, new = says(held_out, ["cat"] * 15, ["cat", "dog"]), says(held_out, ["cat"] * 15)
        index = held_out.assign(split=["held-out"] * 13 + ["train"] * 2)
        decision = decided(score_images(held_out, new.assign(dog=0.0), old, index), changed=["train.epochs 8 → 12"])
        assert decision.notes == [
            "Not only the data changed (train.epochs 8 → 12): the difference is not the data's alone.",
            "With 10 held-out images, an equally good model passes in about 6 % of cases; with 560 in 80 %, if both "
            "models differ on 3 % of the images, which is assumed here.",
            "Not scored, because the old model trained on them, or nobody can tell: 2 of 15 images.",
            "Not scored, because only the new model knows their class (fox): 3 of 15 images.",
        ]

    def test_a_plain_comparison_has_a_note_on_its_power_alone(self):
        notes = decided(outcome(both=288, fixed=8, broken=3, neither=1)).notes
        assert notes == [
            "With 300 held-out images, an equally good model passes in about 47 % of cases; with 700 in 80 %."
        ]


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
        "two": Finding(
            [Rule("luck", None, "Nobody knows.")], ["Another."], row=Row("luck", 0.1, 0.0, 0.2), section="two"
        ),
    }
    plain, decision = decide(comparison), decide(comparison, findings)
    assert [rule.rule for rule in decision.rules] == [*(rule.rule for rule in plain.rules), "labels", "luck"]
    assert decision.notes == [*plain.notes, "A note.", "Another."]
    assert (decision.accepted, decision.failures) == (True, [])
    assert decision.headline == "the data did it"
    assert decision.findings == {"one": {"wrong": 2}, "two": None}


def test_a_rule_of_an_extra_that_fails_refuses_the_model():
    finding = Finding([Rule("labels", False, "9 of 100 are wrong.")])
    decision = decide(comparison_of(outcome(both=400)), {"labels": finding})
    assert decision.accepted is False
    assert decision.failures == ["9 of 100 are wrong."]
