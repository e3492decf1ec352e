"""The comparison of old and new: formulas against papers and other libraries, verdicts against cases made by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, bootstrap
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from helpers.comparison import flips, per_class, populations, score_images, slices, summary, tally
from helpers.decision import decide
from helpers.problems import Problem
from helpers.statistics import bonett_price, mcnemar

pytestmark = pytest.mark.filterwarnings("error")


def images(labels, start=0):
    """Held-out images with the given labels, each of another content."""
    numbers = range(start, start + len(labels))
    return pd.DataFrame(
        {
            "file": [f"{label}/{number}.png" for label, number in zip(labels, numbers, strict=True)],
            "label": list(labels),
            "split": "held-out",
            "sha256": [f"{number:064x}" for number in numbers],
        }
    )


def says(held_out, predicted, classes=None, confidence=0.9):
    """A model that predicts the given classes, with the given confidence, and thinks the others equally likely."""
    classes = sorted(set(held_out["label"]) | set(predicted)) if classes is None else classes
    chosen = np.array(list(predicted))[:, None] == np.array(classes)
    confidence = np.broadcast_to(confidence, len(held_out))[:, None]
    return pd.DataFrame(
        np.where(chosen, confidence, (1 - confidence) / (len(classes) - 1)), index=held_out["file"], columns=classes
    )


def compared(actual, old, new, population=("frozen",)):
    """Scores of two models that know the same classes; `population` is repeated over the images."""
    held_out = images(actual)
    classes = sorted({*actual, *old, *new, "other"})
    population = np.resize(population, len(held_out))
    index = held_out.assign(split=np.where(population == "leaked", "train", "held-out"))[population != "new"]
    return score_images(held_out, says(held_out, new, classes), says(held_out, old, classes), index)


def outcome(both=0, fixed=0, broken=0, neither=0, label="cat", population="frozen"):
    """Scores of images of one class, by which of the models is right."""
    old = [label] * both + ["other"] * fixed + [label] * broken + ["other"] * neither
    new = [label] * both + [label] * fixed + ["other"] * broken + ["other"] * neither
    return compared([label] * len(old), old, new, (population,))


def noisy(rng, actual, accuracy, classes):
    """Predictions that are right as often as `accuracy`, and else drawn from all classes."""
    return np.where(rng.random(len(actual)) < accuracy, actual, rng.choice(classes, len(actual)))


def decided(scores, **settings):
    return decide(scores, summary(scores), **settings)


def failed(decision):
    return [rule["rule"] for rule in decision["rules"] if not rule["passed"]]


class TestPopulations:
    def test_content_decides_not_name_or_label(self):
        held_out = images(["cat", "cat", "dog", "dog"])
        old_index = held_out[:3].assign(
            file=["a.png", "b.png", "c.png"], label="fox", split=["held-out", "train", "held-out"]
        )
        assert list(populations(held_out, old_index)) == ["frozen", "leaked", "frozen", "new"]

    def test_a_copy_in_the_old_training_set_is_a_leak(self):
        held_out = images(["cat"])
        old_index = pd.concat([held_out, held_out.assign(split="train", file="cat/copy.png")])
        assert list(populations(held_out, old_index)) == ["leaked"]

    def test_what_an_old_pipeline_used_to_validate_is_no_longer_unseen(self):
        held_out = images(["cat"])
        assert list(populations(held_out, held_out.assign(split="validation"))) == ["leaked"]

    def test_another_seed_shows_as_leaks_that_are_counted_and_not_scored(self):
        rng = np.random.default_rng(0)
        everything = images(["cat", "dog"] * 250)
        then, now = (rng.random(500) < 0.2 for _ in range(2))
        held_out = everything[now]
        model = says(held_out, held_out["label"])
        scores = score_images(held_out, model, model, everything.assign(split=np.where(then, "held-out", "train")))
        counts = tally(scores)
        assert counts["images"]["leaked"] == (now & ~then).sum() > 50
        assert counts["scored"]["leaked"] == 0
        assert counts["scored"]["together"] == counts["scored"]["frozen"] == (now & then).sum()

    def test_an_old_model_of_unknown_training_data_is_not_scored(self):
        held_out = images(["cat", "dog"] * 20)
        model = says(held_out, held_out["label"])
        decision = decided(score_images(held_out, model, model, None))
        assert decision["verdict"] == "undecided"
        assert not decision["accepted"]
        assert "nobody can tell: 40 of 40 images" in decision["notes"][0]


class TestScoreImages:
    def test_one_row_per_image_with_what_both_models_say(self):
        held_out = images(["cat", "dog"])
        old = pd.DataFrame([[0.7, 0.3], [0.6, 0.4]], index=held_out["file"], columns=["cat", "dog"])
        new = pd.DataFrame([[0.1, 0.9], [0.8, 0.2]], index=held_out["file"][::-1], columns=["cat", "dog"])
        scores = score_images(held_out, new, old, held_out)
        assert list(scores["file"]) == list(held_out["file"])
        assert scores[["old_predicted", "new_predicted"]].to_numpy().tolist() == [["cat", "cat"], ["cat", "dog"]]
        assert scores[["old_confidence", "new_confidence"]].to_numpy().tolist() == [[0.7, 0.8], [0.6, 0.9]]
        assert scores[["old_probability", "new_probability"]].to_numpy().tolist() == [[0.7, 0.8], [0.4, 0.9]]
        assert list(scores["flip"]) == ["", "fixed"]

    def test_leaked_images_are_listed_but_never_scored(self):
        scores = compared(["cat"] * 2, ["cat", "cat"], ["dog", "dog"], ["leaked", "frozen"])
        assert list(scores["scored"]) == [False, True]
        assert list(scores["flip"]) == ["", "broken"]

    def test_labels_that_one_model_knows_are_set_apart(self):
        held_out = images(["cat", "old only", "new only", "nobody's"])
        old = says(held_out, ["cat"] * 4, ["cat", "old only"])
        new = says(held_out, ["new only"] * 4, ["cat", "new only"])
        scores = score_images(held_out, new, old, held_out)
        assert list(scores["known_to"]) == ["both", "old", "new", "neither"]
        assert list(scores["scored"]) == [True, False, False, False]
        assert list(scores["new_probability"]) == pytest.approx([0.1, 0, 0.9, 0])

    def test_without_an_old_model_every_image_is_new(self):
        held_out = images(["cat", "dog"])
        scores = score_images(held_out, says(held_out, ["cat", "cat"]), None, held_out.assign(split="train"))
        assert list(scores["population"]) == ["new", "new"]
        assert scores["scored"].all()
        assert not scores.columns.str.startswith("old").any()

    def test_a_model_that_diverged_is_named(self):
        held_out = images(["cat", "dog"])
        fine = says(held_out, ["cat", "dog"])
        with pytest.raises(Problem, match="The new model gives no probabilities"):
            score_images(held_out, fine * np.nan, fine, held_out)


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
        found = summary(scores).loc[population, model]
        assert found["accuracy"] == pytest.approx(accuracy_score(actual, predicted))
        assert found["macro F1"] == pytest.approx(
            f1_score(actual, predicted, labels=sorted(set(actual)), average="macro")
        )
        assert found["loss"] == pytest.approx(log_loss(np.ones(len(rows)), right, labels=[0, 1]))

    def test_calibration_error_by_hand(self):
        held_out = images(["cat"] * 4)
        # Two images at 0.95, one of them right: off by 0.45. Two in the next bin at 0.91, both right: off by 0.09.
        model = says(held_out, ["cat", "dog", "cat", "cat"], confidence=np.array([0.95, 0.95, 0.91, 0.91]))
        found = summary(score_images(held_out, model))
        assert found["new"]["together", "calibration error"] == pytest.approx((0.45 + 0.09) / 2)

    def test_a_certain_mistake_has_a_finite_loss(self):
        scores = score_images(held_out := images(["cat", "dog"]), says(held_out, ["dog", "dog"], confidence=1.0))
        assert np.isfinite(summary(scores)["new"]["together", "loss"])

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
            rng=1,
        ).confidence_interval
        row = summary(scores).xs("macro F1", level="metric").loc["together"]
        assert (row["low"], row["high"]) == pytest.approx(expected, abs=0.02)

    def test_accuracy_interval_is_bonett_price_of_the_flips(self):
        row = summary(outcome(both=30, fixed=5, broken=2, neither=3)).xs("accuracy", level="metric").loc["together"]
        assert row["difference"] == pytest.approx(3 / 40)
        assert (row["low"], row["high"]) == bonett_price(5, 2, 40)

    def test_every_interval_holds_the_difference_and_comes_out_the_same_again(self, scores):
        found = summary(scores)
        assert found["difference"].between(found["low"], found["high"]).all()
        pd.testing.assert_frame_equal(found, summary(scores))

    def test_leaked_images_change_nothing(self):
        clean = outcome(both=20, fixed=3, broken=1)
        leaked = outcome(broken=30, population="leaked")
        pd.testing.assert_frame_equal(summary(clean), summary(pd.concat([clean, leaked])))

    def test_a_population_without_images_has_no_row(self):
        found = summary(outcome(both=10, population="new"))
        assert list(found.index.unique("population")) == ["new", "together"]


def test_tally_counts_images_and_flips_of_each_population():
    parts = [outcome(both=5, fixed=7, broken=1), outcome(fixed=2, broken=3, population="new")]
    counts = tally(pd.concat([*parts, outcome(both=4, population="leaked")]))
    assert list(counts.index) == ["frozen", "new", "together", "leaked"]
    assert list(counts["images"]) == [13, 5, 18, 4]
    assert list(counts["scored"]) == [13, 5, 18, 0]
    assert list(counts["fixed"]) == [7, 2, 9, 0]
    assert list(counts["broken"]) == [1, 3, 4, 0]
    assert (counts["mid_p"]["frozen"], counts["exact_p"]["frozen"]) == mcnemar(7, 1)


class TestPerClass:
    def test_measures_are_those_of_scikit_learn_and_statsmodels(self):
        rng = np.random.default_rng(3)
        actual = rng.choice(list("abcd"), 80)
        predicted = {
            name: noisy(rng, actual, accuracy, list("abcd")) for name, accuracy in (("old", 0.5), ("new", 0.8))
        }
        table = per_class(compared(actual, **predicted))
        for name, prediction in predicted.items():
            precision, recall, f1, support = precision_recall_fscore_support(actual, prediction)
            assert list(table["support"]) == list(support)
            assert list(table[f"{name}_recall"]) == pytest.approx(recall)
            assert list(table[f"{name}_precision"]) == pytest.approx(precision)
            assert list(table[f"{name}_f1"]) == pytest.approx(f1)
            low, high = proportion_confint((recall * support).round(), support, method="wilson")
            assert list(table[f"{name}_recall_low"]) == pytest.approx(low)
            assert list(table[f"{name}_recall_high"]) == pytest.approx(high)
        assert list(table["recall_difference"]) == pytest.approx(table["new_recall"] - table["old_recall"])

    def test_a_new_class_is_measured_for_the_new_model_alone_and_burdens_neither(self):
        held_out = images(["cat"] * 3 + ["fox"] * 4)
        old = says(held_out, ["cat"] * 7, ["cat", "dog"])
        new = says(held_out, ["cat", "cat", "fox", "fox", "fox", "fox", "cat"], ["cat", "dog", "fox"])
        table = per_class(score_images(held_out, new, old, held_out))
        assert table["known_to"].to_dict() == {"cat": "both", "fox": "new"}
        assert table["old_precision"]["cat"] == 1.0
        assert table["new_recall"]["cat"] == pytest.approx(2 / 3)
        assert (table["new_recall"]["fox"], table["new_precision"]["fox"]) == (3 / 4, 3 / 4)
        assert table.filter(regex="old_|difference").loc["fox"].isna().all()

    def test_a_class_that_is_never_predicted_has_no_precision(self):
        row = per_class(compared(["cat", "dog"], ["cat", "cat"], ["cat", "dog"])).loc["dog"]
        assert np.isnan(row["old_precision"])
        assert (row["old_f1"], row["new_f1"]) == (0, 1)


class TestSlices:
    @pytest.fixture(scope="class")
    @staticmethod
    def labelling_round():
        """Digits: an old training set, a round by three annotators, and what is held out of both."""
        digits = load_digits()
        table = images(digits.target.astype(str))
        rng = np.random.default_rng(0)
        table["annotators"] = np.resize(["", "", "ann", "ben", "eve", "ann eve"], len(table))
        table["split"] = np.where(rng.random(len(table)) < 0.25, "held-out", "train")
        return table, digits.data / 16

    def scores(self, table, pixels):
        """Train the old model without, and the new one with, the labels of the round; let both predict."""
        train, held_out = table["split"] == "train", table[table["split"] == "held-out"]
        before = table["annotators"] == ""

        def probabilities(rows):
            model = LogisticRegression(C=0.1).fit(pixels[rows], table["label"][rows])
            return pd.DataFrame(
                model.predict_proba(pixels[held_out.index]), index=held_out["file"], columns=model.classes_
            )

        scores = score_images(held_out, probabilities(train), probabilities(train & before), table[before])
        lineage = table[~before].assign(export_sha256="e" * 64, by_model=table["annotators"] == "eve")
        return scores, lineage

    def test_an_annotator_with_shuffled_labels_is_pointed_at(self, labelling_round):
        table, pixels = labelling_round
        table = table.copy()
        bens = table["annotators"] == "ben"
        table.loc[bens, "label"] = np.random.default_rng(1).permutation(table.loc[bens, "label"])
        found = slices(*self.scores(table, pixels)).loc["annotator"]
        assert found.index[0] == "ben"
        assert list(found.index[found["suspect"]]) == ["ben"]
        assert found["new_high"]["ben"] < found["new_low"]["ann"]

    def test_careful_annotators_are_left_alone(self, labelling_round):
        found = slices(*self.scores(*labelling_round))
        assert not found["suspect"].any()

    def test_a_model_taught_by_doubtful_labels_is_not_accepted_and_they_are_named(self, labelling_round):
        table, pixels = labelling_round
        table = table.copy()
        bens = table["annotators"] == "ben"
        table.loc[bens, "label"] = np.random.default_rng(1).permutation(table.loc[bens, "label"])
        for labels, accepted in ((labelling_round[0], True), (table, False)):
            scores, lineage = self.scores(labels, pixels)
            found = slices(scores, lineage)
            # The other rules keep still.
            record = decide(
                scores, summary(scores), slices=found, margin=0.5, max_negative_flips=1.0, max_class_drop=1.0
            )
            rule = next(rule for rule in record["rules"] if rule["rule"] == "labels")
            assert rule["passed"] is accepted
            assert record["accepted"] is accepted
            assert ("annotator ben" in rule["explanation"]) is not accepted

    def test_an_image_counts_for_each_of_its_annotators_and_once_for_the_round(self, labelling_round):
        table, _ = labelling_round
        held_out = table.loc[table["split"] == "held-out", "annotators"]
        found = slices(*self.scores(*labelling_round))["images"]
        assert found["annotator", "ann"] == held_out.str.contains("ann").sum()
        assert found["annotator", "eve"] == held_out.str.contains("eve").sum()
        assert found["labelling round", "e" * 12] == (held_out != "").sum()
        assert found["label made by", "a model"] == (held_out == "eve").sum()
        assert (found.xs("not recorded", level="value") == (held_out == "").sum()).all()

    def test_a_label_changed_by_hand_is_not_blamed_on_the_annotator(self):
        scores = outcome(neither=10)
        lineage = pd.DataFrame(
            {"sha256": scores["sha256"], "label": "dog", "annotators": "ann", "export_sha256": "e", "by_model": False}
        )
        assert list(slices(scores, lineage).loc["annotator"].index) == ["not recorded"]

    def test_a_content_that_was_merged_twice_counts_once(self):
        scores = outcome(both=10)
        lineage = scores.assign(label="cat", annotators="ann", export_sha256="e", by_model=False)
        assert set(slices(scores, pd.concat([lineage, lineage]))["images"]) == {10}

    def test_without_an_old_model_or_any_lineage(self):
        held_out = images(["cat", "dog"])
        lineage = pd.DataFrame(columns=["sha256", "label", "annotators", "export_sha256", "by_model"], dtype=str)
        found = slices(score_images(held_out, says(held_out, ["cat", "cat"])), lineage)
        assert list(found["new"]) == [0.5] * 3
        assert "old" not in found


def test_flips_are_ordered_by_the_confidence_of_the_new_model():
    held_out = images(["cat"] * 4)
    old = says(held_out, ["dog", "cat", "cat", "cat"])
    new = says(held_out, ["cat", "dog", "dog", "cat"], confidence=np.array([0.7, 0.6, 0.99, 0.8]))
    found = flips(score_images(held_out, new, old, held_out))
    assert list(found["flip"]) == ["broken", "fixed", "broken"]
    assert list(found["new_confidence"]) == pytest.approx([0.99, 0.7, 0.6])


class TestDecide:
    def test_better(self):
        decision = decided(outcome(both=170, fixed=20, broken=2, neither=8))
        assert decision["verdict"] == "better"
        assert decision["accepted"]
        # Bonett and Price by hand: 18/202 ± 1.96 √((24/202 − (18/202)²)/202)
        assert decision["sentence"] == (
            "Better: 95.0 % of 200 held-out images right, 86.0 % before "
            "(difference +9.0 points, 95 % interval +4.3 to +13.5)."
        )

    def test_worse(self):
        decision = decided(outcome(both=170, fixed=2, broken=20, neither=8))
        assert decision["verdict"] == "worse"
        assert not decision["accepted"]
        assert "difference −9.0 points, 95 % interval −13.5 to −4.3" in decision["sentence"]

    def test_equivalent(self):
        decision = decided(outcome(both=950, fixed=1, broken=1, neither=48))
        assert decision["verdict"] == "equivalent"
        assert decision["accepted"]
        assert "difference +0.0 points" in decision["sentence"]

    def test_undecided(self):
        decision = decided(outcome(both=45, fixed=2, broken=1, neither=2))
        assert decision["verdict"] == "undecided"
        assert not decision["accepted"]
        assert "too few images to tell" in decision["sentence"]

    def test_undecided_but_surely_not_worse_by_more_than_the_margin_is_accepted(self):
        decision = decided(outcome(both=950, fixed=20, broken=12, neither=18))
        assert decision["verdict"] == "undecided"
        assert decision["accepted"]

    def test_first(self):
        held_out = images(["cat", "dog"] * 20)
        decision = decided(score_images(held_out, says(held_out, ["cat"] * 2 + ["cat", "dog"] * 19)))
        assert decision["verdict"] == "first"
        assert decision["accepted"]
        low, high = proportion_confint(39, 40, method="wilson")
        assert decision["sentence"].startswith(
            f"First model: 97.5 % of 40 held-out images right, 95 % interval {100 * low:.1f} % to {100 * high:.1f} %"
        )

    @pytest.mark.parametrize("n", [0, 1, 5])
    def test_too_few_images_give_no_number(self, n):
        decision = decided(pd.concat([outcome(fixed=n), outcome(both=7, population="leaked")]))
        assert decision["verdict"] == "undecided"
        assert failed(decision) == ["enough images"]
        assert (
            decision["sentence"] == f"Undecided: {n} of {n + 7} held-out images can be scored, too few to say anything."
        )

    def test_margin_fails_where_a_loss_cannot_be_excluded(self):
        scores = outcome(both=90, fixed=4, broken=2, neither=4)
        assert failed(decided(scores)) == ["margin"]
        assert failed(decided(scores, margin=0.10)) == []

    def test_a_margin_of_nothing_is_not_written_as_minus_nothing(self):
        rules = decided(outcome(both=50), margin=0.0)["rules"]
        assert "must lie above +0.0" in next(rule["explanation"] for rule in rules if rule["rule"] == "margin")

    def test_negative_flips_fail_above_their_cap_even_if_the_model_is_better(self):
        scores = outcome(both=200, fixed=60, broken=20, neither=20)
        decision = decided(scores)
        assert decision["verdict"] == "better"
        assert not decision["accepted"]
        assert failed(decision) == ["negative flips"]
        assert failed(decided(scores, max_negative_flips=20 / 300)) == []

    def test_a_class_that_falls_fails(self):
        scores = pd.concat([outcome(both=150, fixed=40), outcome(both=8, broken=2, label="dog")])
        assert failed(decided(scores, max_class_drop=0.19)) == ["classes"]
        explanation = next(r["explanation"] for r in decided(scores)["rules"] if r["rule"] == "classes")
        assert "dog (100.0 % of 10 before, 80.0 % now)" in explanation
        assert failed(decided(scores, min_class_support=11)) == []

    @pytest.mark.parametrize("right_before", range(1, 11))
    def test_a_fall_of_exactly_the_limit_passes(self, right_before):
        dogs = outcome(both=right_before - 1, broken=1, neither=10 - right_before, label="dog")
        assert failed(decided(pd.concat([outcome(both=150, fixed=40), dogs]), max_class_drop=0.1)) == []

    def test_a_gain_on_new_images_does_not_hide_a_loss_on_the_frozen_ones(self):
        scores = pd.concat([outcome(both=88, broken=12), outcome(both=300, fixed=90, population="new")])
        decision = decided(scores, max_class_drop=1.0)
        assert decision["verdict"] == "better"
        assert failed(decision) == ["populations"]
        assert "frozen (−18.6 to −4.9 points)" in next(
            r["explanation"] for r in decision["rules"] if r["rule"] == "populations"
        )

    def test_worse_is_never_accepted_however_small_the_loss(self):
        decision = decided(outcome(both=950, broken=30), margin=0.05)
        assert decision["verdict"] == "worse"
        assert failed(decision) == ["populations"]

    def test_notes_say_what_limits_the_comparison(self):
        held_out = images(["cat"] * 10 + ["fox"] * 3 + ["cat"] * 2)
        old, new = says(held_out, ["cat"] * 15, ["cat", "dog"]), says(held_out, ["cat"] * 15)
        index = held_out.assign(split=["held-out"] * 13 + ["train"] * 2)
        notes = decided(score_images(held_out, new.assign(dog=0.0), old, index), changed=["train.epochs 8 → 12"])[
            "notes"
        ]
        assert notes == [
            "Not only the data changed (train.epochs 8 → 12): the difference is not the data's alone.",
            "Not scored, because the old model trained on them, or nobody can tell: 2 of 15 images.",
            "Not scored, because only the new model knows their class (fox): 3 of 15 images.",
        ]

    def test_a_plain_comparison_has_no_notes(self):
        assert decided(outcome(both=50))["notes"] == []


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
    lineage = scores.assign(label=scores["actual"], annotators="ann", export_sha256="e", by_model=False)
    assert slices(scores, lineage)["images"].le(len(scores)).all()
    assert len(flips(scores)) == tally(scores).loc["together", ["fixed", "broken"]].sum()
    assert per_class(scores)["support"].sum() == (scores["population"] != "leaked").sum()
    decision = decided(scores, changed=["train.epochs 8 → 12"])
    assert json.loads(json.dumps(decision, allow_nan=False)) == decision
