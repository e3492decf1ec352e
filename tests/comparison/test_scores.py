"""Scores: which images count, and how sure the models are of them."""

import numpy as np
import pandas as pd
import pytest
from score_tables import compared, decided, images, says

from helpers.comparison.scores import populations, score_images
from helpers.comparison.tables import summary, tally
from helpers.pipeline.calibration import apply_temperature, fit_temperature
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
        assert decision.verdict == "undecided"
        assert not decision.accepted
        assert "nobody can tell: 40 of 40 images" in decision.notes[0]


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
        assert list(scores["scored"]) == [True, True, False, False]
        assert list(scores["new_right"]) == [False, False, True, False]
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
        return held_out, pd.DataFrame(apply_temperature(truth, 1 / 3), index=held_out["file"], columns=CLASSES)

    def tempered(self, model, temperature):
        return pd.DataFrame(apply_temperature(model.to_numpy(), temperature), index=model.index, columns=model.columns)

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
            rows.append([summary(table, 0.95)["new"]["together"][["loss", "calibration error"]] for table in tables])
        shown, flattered, true = np.mean(rows, axis=0)
        assert (flattered < true - 0.01).all()
        assert (shown > true - 0.01).all()
