"""The tables drawn from scores: figures against papers and other libraries."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap
from score_tables import compared, images, noisy, outcome, says
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support
from statsmodels.stats.proportion import proportion_confint

from helpers.comparison.scores import score_images
from helpers.comparison.statistics import difference_interval
from helpers.comparison.tables import flips, per_class, summary, tally

pytestmark = pytest.mark.filterwarnings("error")


class TestSummary:
    @pytest.fixture(scope="class")
    @staticmethod
    def scores():
        """120 images of 5 classes, random probabilities, a sixth class that only predictions know."""
        rng = np.random.default_rng(7)
        held_out = images(rng.choice(list("abcde"), 120))
        old, new = (
            pd.DataFrame(rng.dirichlet(np.ones(6), 120), index=held_out["file"], columns=list("abcdef"))
            + sharpness * says(held_out, held_out["label"], list("abcdef"), 1.0)
            for sharpness in (0.4, 0.6)
        )
        frozen = held_out[rng.random(120) < 0.5]
        return score_images(held_out, new.div(new.sum(axis=1), axis=0), old.div(old.sum(axis=1), axis=0), frozen)

    @pytest.mark.parametrize("population", ["frozen", "new", "together"])
    @pytest.mark.parametrize("model", ["old", "new"])
    def test_accuracy_macro_f1_and_loss_are_those_of_scikit_learn(self, scores, population, model):
        rows = scores if population == "together" else scores[scores["population"] == population]
        actual, predicted = rows["actual"], rows[f"{model}_predicted"]
        right = np.column_stack([1 - rows[f"{model}_probability"], rows[f"{model}_probability"]])
        found = summary(scores, 0.95).loc[population, model]
        assert found["accuracy"] == pytest.approx(accuracy_score(actual, predicted))
        assert found["macro F1"] == pytest.approx(
            f1_score(actual, predicted, labels=sorted(set(actual)), average="macro")
        )
        assert found["loss"] == pytest.approx(log_loss(np.ones(len(rows)), right, labels=[0, 1]))

    def test_calibration_error_by_hand(self):
        held_out = images(["cat"] * 4)
        # Two images at 0.95, one of them right: off by 0.45. Two in the next bin at 0.91, both right: off by 0.09.
        model = says(held_out, ["cat", "dog", "cat", "cat"], confidence=np.array([0.95, 0.95, 0.91, 0.91]))
        found = summary(score_images(held_out, model), 0.95)
        assert found["new"]["together", "calibration error"] == pytest.approx((0.45 + 0.09) / 2)

    def test_a_certain_mistake_has_a_finite_loss(self):
        scores = score_images(held_out := images(["cat", "dog"]), says(held_out, ["dog", "dog"], confidence=1.0))
        assert np.isfinite(summary(scores, 0.95)["new"]["together", "loss"])

    @pytest.mark.parametrize("counts", [[40, 30, 20], [149, 1]], ids=["many images", "a class that resamples miss"])
    def test_macro_f1_interval_is_that_of_the_paired_bootstrap(self, counts):
        rng = np.random.default_rng(1)
        classes = list("abc")[: len(counts)]
        actual = np.repeat(classes, counts)
        scores = compared(actual, noisy(rng, actual, 0.3, classes), noisy(rng, actual, 0.9, classes))

        def macro_f1(actual, predicted):
            support, called, hits = (
                np.array([side.sum(axis=-1) for side in sides])
                for sides in zip(
                    *((actual == c, predicted == c, (actual == c) & (predicted == c)) for c in range(len(classes))),
                    strict=True,
                )
            )
            return np.mean(2 * hits / (support + called).clip(1), axis=0, where=support > 0)

        expected = bootstrap(
            [pd.Categorical(scores[c], classes).codes for c in ("actual", "old_predicted", "new_predicted")],
            lambda actual, old, new, axis: macro_f1(actual, new) - macro_f1(actual, old),
            paired=True,
            method="percentile",
            confidence_level=0.9,
            rng=1,
        ).confidence_interval
        row = summary(scores, 0.95).xs("macro F1", level="metric").loc["together"]
        assert (row["low"], row["high"]) == pytest.approx(expected, abs=0.02)

    def test_accuracy_interval_is_tangos_of_the_flips(self):
        row = (
            summary(outcome(both=30, fixed=5, broken=2, neither=3), 0.9).xs("accuracy", level="metric").loc["together"]
        )
        assert row["difference"] == pytest.approx(3 / 40)
        assert (row["low"], row["high"]) == difference_interval(5, 2, 40, 0.9)

    def test_every_interval_holds_the_difference_and_comes_out_the_same_again(self, scores):
        found = summary(scores, 0.95)
        assert found["difference"].between(found["low"], found["high"]).all()
        pd.testing.assert_frame_equal(found, summary(scores, 0.95))

    @pytest.mark.parametrize(("n", "known"), [(1, False), (2, True)])
    def test_two_images_are_enough_to_draw_from(self, n, known):
        intervals = summary(outcome(fixed=n), 0.95).loc["together", ["low", "high"]].drop("accuracy")
        assert (intervals.notna() == known).all(axis=None)

    def test_leaked_images_change_nothing(self):
        clean = outcome(both=20, fixed=3, broken=1)
        leaked = outcome(broken=30, population="leaked")
        pd.testing.assert_frame_equal(summary(clean, 0.95), summary(pd.concat([clean, leaked]), 0.95))

    def test_a_population_without_images_has_no_row(self):
        found = summary(outcome(both=10, population="new"), 0.95)
        assert list(found.index.unique("population")) == ["new", "together"]


def test_tally_counts_images_and_flips_of_each_population():
    parts = [outcome(both=5, fixed=7, broken=1), outcome(fixed=2, broken=3, population="new")]
    counts = tally(pd.concat([*parts, outcome(both=4, population="leaked")]))
    assert list(counts.index) == ["frozen", "new", "together", "leaked"]
    assert list(counts["images"]) == [13, 5, 18, 4]
    assert list(counts["scored"]) == [13, 5, 18, 0]
    assert list(counts["fixed"]) == [7, 2, 9, 0]
    assert list(counts["broken"]) == [1, 3, 4, 0]


class TestPerClass:
    def test_measures_are_those_of_scikit_learn_and_statsmodels(self):
        rng = np.random.default_rng(3)
        actual = rng.choice(list("abcd"), 80)
        predicted = {
            name: noisy(rng, actual, accuracy, list("abcd")) for name, accuracy in (("old", 0.5), ("new", 0.8))
        }
        table = per_class(compared(actual, **predicted))
        for name, prediction in predicted.items():
            _, recall, _, support = precision_recall_fscore_support(actual, prediction)
            assert list(table["support"]) == list(support)
            assert list(table[f"{name}_recall"]) == pytest.approx(recall)
            low, high = proportion_confint((recall * support).round(), support, method="wilson")
            assert list(table[f"{name}_recall_low"]) == pytest.approx(low)
            assert list(table[f"{name}_recall_high"]) == pytest.approx(high)
        assert list(table["recall_difference"]) == pytest.approx(table["new_recall"] - table["old_recall"])

    def test_a_new_class_is_measured_for_the_new_model_alone(self):
        held_out = images(["cat"] * 3 + ["fox"] * 4)
        old = says(held_out, ["cat"] * 7, ["cat", "dog"])
        new = says(held_out, ["cat", "cat", "fox", "fox", "fox", "fox", "cat"], ["cat", "dog", "fox"])
        table = per_class(score_images(held_out, new, old, held_out))
        assert table["known_to"].to_dict() == {"cat": "both", "fox": "new"}
        assert table["new_recall"]["cat"] == pytest.approx(2 / 3)
        assert table["new_recall"]["fox"] == 3 / 4
        assert table.filter(regex="old_|difference").loc["fox"].isna().all()


def test_flips_are_ordered_by_the_confidence_of_the_new_model():
    held_out = images(["cat"] * 4)
    old = says(held_out, ["dog", "cat", "cat", "cat"])
    new = says(held_out, ["cat", "dog", "dog", "cat"], confidence=np.array([0.7, 0.6, 0.99, 0.8]))
    found = flips(score_images(held_out, new, old, held_out))
    assert list(found["flip"]) == ["broken", "fixed", "broken"]
    assert list(found["new_confidence"]) == pytest.approx([0.99, 0.7, 0.6])
