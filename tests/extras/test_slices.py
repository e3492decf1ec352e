"""Labels that deserve a look are found by annotator and round, and careful people are left alone."""

import numpy as np
import pandas as pd
import pytest
from score_tables import NO_LINEAGE, comparison_of, images, outcome, says
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from extras.slices import doubtful_slices, slices
from helpers.comparison.scores import score_images

pytestmark = pytest.mark.filterwarnings("error")


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
            lineage = table[~before].assign(labels_sha256="e" * 64, by_model=table["annotators"] == "eve")
            lineage["export_sha256"] = "b" * 64
            return scores, lineage

        bens = table["annotators"] == "ben"
        wrong = table["label"].mask(bens, pd.Series(rng.permutation(table.loc[bens, "label"]), table.index[bens]))
        return {"careful": compare(table), "shuffled": compare(table.assign(label=wrong)), "table": table}

    def test_an_annotator_with_shuffled_labels_is_pointed_at(self, rounds):
        found = slices(*rounds["shuffled"]).loc["annotator"]
        assert found.index[0] == "ben"
        assert list(found.index[found["suspect"]]) == ["ben"]
        assert found["high"]["ben"] < found["low"]["ann"]

    def test_careful_annotators_are_left_alone(self, rounds):
        assert not slices(*rounds["careful"])["suspect"].any()

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
        lineage = scores[["sha256"]].assign(label="dog", annotators="ann", export_sha256="b", labels_sha256="e")
        lineage["by_model"] = False
        assert list(slices(scores, lineage).loc["annotator"].index) == ["not recorded"]

    def test_a_content_that_was_merged_twice_counts_once(self):
        scores = outcome(both=10)
        lineage = scores.assign(label="cat", annotators="ann", labels_sha256="", export_sha256="e", by_model=False)
        assert set(slices(scores, pd.concat([lineage, lineage]))["images"]) == {10}

    def test_one_scene_is_no_habit_of_its_annotator(self):
        scores = pd.concat([outcome(both=200), outcome(neither=10)], ignore_index=True)
        lineage = scores[["sha256"]].assign(label="cat", export_sha256="b", labels_sha256="e", by_model=False)
        lineage["annotators"] = ["ann"] * 200 + ["bob"] * 10
        scores["sha256"] = lineage["sha256"] = [str(number) for number in range(210)]
        assert slices(scores, lineage).loc[("annotator", "bob"), "suspect"]
        scenes = [f"s{number // 10}" for number in range(210)]
        assert not slices(scores.assign(scene=scenes), lineage).loc[("annotator", "bob"), "suspect"]

    def test_without_an_old_model_or_any_lineage(self):
        held_out = images(["cat", "dog"])
        found = slices(score_images(held_out, says(held_out, ["cat", "cat"])), NO_LINEAGE)
        assert list(found["accuracy"]) == [0.5] * 3


def test_slices_are_shown_only_where_labels_deserve_a_second_look(monkeypatch):
    labels_by = [("labelling round", "e" * 12), ("annotator", "bob")]
    index = pd.MultiIndex.from_tuples(labels_by, names=["by", "value"])
    table = pd.DataFrame({"images": [50, 40], "accuracy": [0.5, 0.95], "p": [0.0004, 1.0]}, index)
    table = table.assign(low=0.4, high=0.6, suspect=[True, False])
    lineage = pd.DataFrame({"labels_sha256": ["e" * 64], "updated_at": pd.to_datetime(["2026-01-05 10:30"], utc=True)})
    lineage["export_sha256"] = "b" * 64
    compared = comparison_of(outcome(both=50, fixed=1, broken=0, neither=0), lineage)
    monkeypatch.setattr("extras.slices.slices", lambda *_: table)
    shown = doubtful_slices(compared)
    assert shown is not None
    assert shown.to_numpy().tolist() == [[50, "50.0 %", "40.0 % to 60.0 %", "<0.001"]]
    assert list(shown.index) == [("labelling round", "until 2026-01-05 10:30")], "a person knows it by its last label"
    monkeypatch.setattr("extras.slices.slices", lambda *_: table.assign(suspect=False))
    assert doubtful_slices(compared) is None


@pytest.mark.parametrize("scores", [outcome(), outcome(both=20, population="leaked"), outcome(both=1)])
def test_few_images_give_a_table_without_a_warning(scores):
    lineage = scores.assign(
        label=scores["actual"], annotators="ann", export_sha256="e", labels_sha256="", by_model=False
    )
    assert slices(scores, lineage)["images"].le(len(scores)).all()
