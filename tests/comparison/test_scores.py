"""The comparison of old and new: figures against papers and other libraries."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap
from scores import compared, decided, images, noisy, outcome, says
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support
from statsmodels.stats.proportion import proportion_confint

from helpers.comparison.scores import populations, score_images
from helpers.comparison.statistics import bonett_price, mcnemar
from helpers.comparison.tables import flips, per_class, slices, summary, tally
from helpers.pipeline.calibration import fit_temperature, temper
from helpers.problems import Problem

CLASSES = list("abcde")
CONFIDENCES = ["old_confidence", "old_probability", "new_confidence", "new_probability"]

pytestmark = pytest.mark.filterwarnings("error")


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
        assert scores[["old_confidence", "new_confidence"]].to_numpy().ravel() == pytest.approx([0.7, 0.8, 0.6, 0.9])
        assert scores[["old_probability", "new_probability"]].to_numpy().ravel() == pytest.approx([0.7, 0.8, 0.4, 0.9])
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


class TestCalibration:
    """How sure the models are is judged on images that had no say in it."""

    def draw(self, rng, count=20):
        """Held-out images of both halves, and a model whose logits are three times as large as the truth is sure."""
        truth = rng.dirichlet(np.full(5, 0.3), count).clip(1e-6)
        truth /= truth.sum(axis=1, keepdims=True)
        held_out = images([rng.choice(CLASSES, p=row) for row in truth])
        held_out["sha256"] = [f"{number:064x}" for number in range(count)]
        return held_out, pd.DataFrame(temper(truth, 1 / 3), index=held_out["file"], columns=CLASSES)

    def tempered(self, model, temperature):
        return pd.DataFrame(temper(model.to_numpy(), temperature), index=model.index, columns=model.columns)

    def test_a_temperature_that_a_model_brings_along_leaves_no_trace(self):
        held_out, model = self.draw(np.random.default_rng(0))
        plain = score_images(held_out, model, model, held_out)
        scaled = score_images(held_out, self.tempered(model, 4), self.tempered(model, 0.5), held_out)
        assert scaled[CONFIDENCES].to_numpy() == pytest.approx(plain[CONFIDENCES].to_numpy(), abs=1e-3)
        assert list(scaled["new_predicted"]) == list(plain["new_predicted"]) == list(model.idxmax(axis=1))

    def test_labels_of_one_half_change_how_sure_the_models_are_of_the_other_half_alone(self):
        held_out, model = self.draw(np.random.default_rng(0))
        first = held_out["sha256"].str[-1].isin(list("02468ace"))
        before = score_images(held_out, model, model, held_out)
        relabelled = held_out.assign(label=held_out["label"].mask(first, model.idxmin(axis=1).to_numpy()))
        after = score_images(relabelled, model, model, held_out)
        for name in ("old_confidence", "new_confidence"):
            assert (after[name] == before[name])[first].all()
            assert (after[name] < before[name])[~first].all()

    def test_images_that_are_not_scored_have_no_say(self):
        held_out, model = self.draw(np.random.default_rng(0))
        leaked, unknown = images(["a"] * 9, start=100), images(["nobody's"] * 9, start=200)
        everything = pd.concat([held_out, leaked, unknown])
        wrong = says(pd.concat([leaked, unknown]), ["e"] * 18, CLASSES, 0.999)
        index = everything.assign(split=np.where(everything["sha256"].isin(leaked["sha256"]), "train", "held-out"))
        both = pd.concat([model, wrong])
        scores = score_images(everything, both, both, index)
        alone = score_images(held_out, model, model, held_out)
        pd.testing.assert_frame_equal(scores[scores["scored"]][CONFIDENCES], alone[CONFIDENCES])

    @pytest.mark.slow
    def test_what_is_shown_is_not_better_than_the_model_is_on_other_images(self):
        """In 200 rounds with 20 held-out images, which a model's temperature was fitted on, and 20 others."""
        rng, rows = np.random.default_rng(0), []
        for _ in range(200):
            held_out, model = self.draw(rng)
            fitted = fit_temperature(model.to_numpy(), held_out["label"].map(CLASSES.index).to_numpy())
            others, opinions = self.draw(rng)
            in_one_half = f"{0:064x}"  # as the model says
            tables = [
                score_images(held_out, self.tempered(model, fitted)),
                score_images(held_out.assign(sha256=in_one_half), self.tempered(model, fitted)),
                score_images(others.assign(sha256=in_one_half), self.tempered(opinions, fitted)),
            ]
            rows.append([summary(table)["new"]["together"][["loss", "calibration error"]] for table in tables])
        shown, flattered, true = np.mean(rows, axis=0)
        assert (flattered < true - 0.01).all()
        assert (shown > true - 0.01).all()


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
    def rounds():
        """Digits: an old training set, a round by three annotators, and images held out of both.

        In the round `careful` all labels are right; in `shuffled` those of one annotator are not.
        """
        digits = load_digits()
        table = images(digits.target.astype(str))
        rng = np.random.default_rng(0)
        table["annotators"] = np.resize(["", "", "ann", "ben", "eve", "ann eve"], len(table))
        table["split"] = np.where(rng.random(len(table)) < 0.25, "held-out", "train")
        before = table["annotators"] == ""

        def compare(table):
            """Train the old model without, and the new one with, the labels of the round; let both predict."""
            train, held_out = table["split"] == "train", table[table["split"] == "held-out"]

            def probabilities(rows):
                model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
                predicted = model.fit(digits.data[rows], table["label"][rows]).predict_proba(
                    digits.data[held_out.index]
                )
                return pd.DataFrame(predicted, index=held_out["file"], columns=model.classes_)

            scores = score_images(held_out, probabilities(train), probabilities(train & before), table[before])
            lineage = table[~before].assign(export_sha256="e" * 64, by_model=table["annotators"] == "eve")
            return scores, lineage

        bens = table["annotators"] == "ben"
        wrong = table["label"].mask(bens, pd.Series(rng.permutation(table.loc[bens, "label"]), table.index[bens]))
        return {"careful": compare(table), "shuffled": compare(table.assign(label=wrong)), "table": table}

    def test_an_annotator_with_shuffled_labels_is_pointed_at(self, rounds):
        found = slices(*rounds["shuffled"]).loc["annotator"]
        assert found.index[0] == "ben"
        assert list(found.index[found["suspect"]]) == ["ben"]
        assert found["new_high"]["ben"] < found["new_low"]["ann"]

    def test_careful_annotators_are_left_alone(self, rounds):
        assert not slices(*rounds["careful"])["suspect"].any()

    @pytest.mark.parametrize(("name", "accepted"), [("careful", True), ("shuffled", False)])
    def test_a_model_taught_by_doubtful_labels_is_not_accepted_and_they_are_named(self, rounds, name, accepted):
        # The other rules keep still.
        record = decided(*rounds[name], margin=0.5, max_negative_flips=1.0, max_class_drop=1.0)
        rule = next(rule for rule in record["rules"] if rule["rule"] == "labels")
        assert rule["passed"] is accepted
        assert record["accepted"] is accepted
        assert ("annotator ben" in rule["explanation"]) is not accepted

    def test_an_image_counts_for_each_of_its_annotators_and_once_for_the_round(self, rounds):
        table = rounds["table"]
        held_out = table.loc[table["split"] == "held-out", "annotators"]
        found = slices(*rounds["careful"])["images"]
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
