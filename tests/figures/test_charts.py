"""Figures of numbers: their titles are true, and they count the classes that they leave out."""

import numpy as np
import pandas as pd
import pytest
from drawings import HISTORY, scores_of, texts
from score_tables import POLICY as PARAMS
from score_tables import images, says

from helpers.comparison.decision import Row
from helpers.comparison.scores import score_images
from helpers.comparison.tables import per_class, summary
from helpers.figures import charts

POLICY = PARAMS.model_dump()


def test_class_balance_says_how_the_training_set_grew():
    balance = pd.DataFrame({"before": [100, 0, 30], "after": [90, 40, 30]}, index=["a", "b", "c"])
    figure = charts.class_balance(balance)
    assert figure.finding == "From 130 to 160 images; classes have 30 to 90, before 0 to 100"
    assert {"−10", "+40", "0"} <= set(texts(figure))


def test_class_balance_of_a_hundred_classes_shows_those_that_change_most():
    balance = pd.DataFrame({"before": 100, "after": range(100, 200)}, index=[f"c{n}" for n in range(100)])
    figure = charts.class_balance(balance)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [f"c{n}" for n in range(99, 74, -1)]
    assert "The 25 of 100 classes that change most." in texts(figure)


def test_learning_curves_name_the_last_held_out_accuracy_of_both():
    old = HISTORY.assign(held_out_accuracy=0.5)
    assert charts.learning_curves(HISTORY, old).finding == "Held-out accuracy ends at 87.5 %, the old model's at 50.0 %"
    alone = charts.learning_curves(HISTORY)
    assert alone.finding == "Held-out accuracy ends at 87.5 %"
    assert not any("old" in text for text in texts(alone))


def test_confusion_matrices_count_the_mistakes_and_name_the_commonest():
    actual = ["Moon"] * 5 + ["Mars"] * 5
    old = ["Mars"] * 5 + ["Mars"] * 5
    new = ["Moon"] * 3 + ["Pluto"] * 2 + ["Mars"] * 4 + ["Moon"]
    figure = charts.confusion_matrices(scores_of(actual, old, new))
    assert figure.finding == "3 mistakes on 10 images, 5 before; most often “Moon” is taken for “Pluto” (2)"
    before, after, change = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Old: 5 mistakes",
        "New: 3 mistakes",
        "New minus old",
    ]
    assert sorted(text.get_text() for text in before.texts) == ["5", "5"]
    assert sorted(text.get_text() for text in after.texts) == ["1", "2", "3", "4"]
    assert sorted(text.get_text() for text in change.texts) == ["+1", "+2", "+3", "−1", "−5"]


def test_one_mistake_is_no_habit():
    figure = charts.confusion_matrices(scores_of(["a"] * 5, ["a"] * 5, ["a"] * 4 + ["b"]))
    assert figure.finding == "1 mistake on 5 images, 0 before"


def test_confusion_matrix_without_an_old_model_is_one_panel():
    figure = charts.confusion_matrices(scores_of(["a", "b"], None, ["a", "b"]))
    assert figure.finding == "0 mistakes on 2 images"
    assert len(figure.axes) == 1


def test_confusion_matrices_of_a_hundred_classes_show_the_worst_and_fold_the_others():
    actual = [f"c{n:02}" for n in range(100)] * 3
    wrong = [label if int(label[1:]) >= 20 else "c00" if label != "c00" else "c01" for label in actual]
    figure = charts.confusion_matrices(scores_of(actual, wrong, actual))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [*(f"c{n:02}" for n in range(20)), "80 others"]
    new_depths = np.asarray(figure.axes[1].images[0].get_array())
    assert new_depths[-1, -1] == 1, "all images of the other classes are in the last row, and right"
    assert any(text.startswith("The 20 of 100 classes with most mistakes") for text in texts(figure))


def test_a_new_class_has_its_row_and_counts_among_no_mistakes():
    held_out = images(["cat"] * 5 + ["fox"] * 3)
    old = says(held_out, ["cat"] * 8, ["cat", "dog"])
    new = says(held_out, ["cat"] * 4 + ["fox"] * 3 + ["cat"], ["cat", "fox"])
    figure = charts.confusion_matrices(score_images(held_out, new, old, held_out))
    assert figure.finding == "1 mistake on 5 images, 0 before"
    assert "fox" in [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "Not counted: 3 images of new classes (fox)." in figure.note


def test_recall_is_counted_class_by_class():
    actual = ["rose"] * 4 + ["fell"] * 4 + ["same"] * 4
    old = ["rose"] * 2 + ["same"] * 2 + ["fell"] * 4 + ["same"] * 4
    new = ["rose"] * 3 + ["same"] * 1 + ["fell"] * 1 + ["same"] * 3 + ["same"] * 4
    figure = charts.per_class_change(per_class(scores_of(actual, old, new)))
    assert figure.finding == "Recall rose for 1 of 3 classes, fell for 1 (“fell”)"
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["fell  (4)", "same  (4)", "rose  (4)"]


def test_of_a_hundred_classes_those_that_fell_most_and_rose_most_are_shown():
    labels = [f"c{n:02}" for n in range(100)]
    change = np.linspace(-0.5, 0.49, 100)
    per_class = pd.DataFrame({"support": 7, "recall_difference": change}, index=labels)
    for name, recall in (("old", 0.5 + 0 * change), ("new", 0.5 + change)):
        per_class[[f"{name}_recall", f"{name}_recall_low", f"{name}_recall_high"]] = np.column_stack([recall] * 3)
    figure = charts.per_class_change(per_class)
    shown = [label.get_text().split()[0] for label in figure.axes[0].get_yticklabels()]
    assert shown == labels[:12] + labels[-13:]
    assert any("The 12 classes with the worst change and the 13 with the best." in text for text in texts(figure))


def test_a_class_that_only_one_model_knows_is_shown_and_not_counted():
    scores = scores_of(["a", "b", "b"], ["a", "b", "b"], ["a", "b", "b"])
    scores = scores.assign(known_to=["new", "both", "both"], scored=[False, True, True])
    figure = charts.per_class_change(per_class(scores))
    assert figure.finding == "Recall rose for 0 of 1 classes, fell for none"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["b  (2)", "a  (1)"]
    assert any("Only the new model knows 1 of 2 classes." in text for text in texts(figure))


@pytest.mark.parametrize(
    ("better", "worse", "finding"),
    [(3, 1, "rose by 20.0 points"), (1, 3, "fell by 20.0 points"), (1, 1, "did not change")],
)
def test_the_difference_says_which_way_accuracy_went_and_how_sure_that_is(better, worse, finding):
    right, wrong = ["a"], ["b"]
    old = wrong * better + right * worse + right * (10 - better - worse)
    new = right * better + wrong * worse + right * (10 - better - worse)
    table = summary(scores_of(["a"] * 10, old, new), 0.95)
    figure = charts.difference(table, POLICY)
    low, high = table.loc[("together", "accuracy"), ["low", "high"]] * 100
    assert figure.finding == f"Accuracy {finding} (90 % interval {low:+.1f} to {high:+.1f})".replace("-", "−")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["frozen\n5 images", "new\n5 images", "together\n10 images"]
    assert figure.axes[0].collections[0].get_paths()[-1].vertices[:, 0].tolist() == [low, high]
    assert "margin ±2" in texts(figure)


def test_the_difference_of_a_single_population_is_shown_once():
    scores = scores_of(["a"] * 4, ["b", "a", "a", "a"], ["a"] * 4)
    axes = charts.difference(summary(scores[scores["population"] == "new"], 0.95), POLICY).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["new\n2 images"]


def test_a_population_of_one_image_does_not_press_the_others_flat():
    scores = scores_of(["a"] * 100, ["a"] * 95 + ["b"] * 5, ["a"] * 100)
    scores["population"] = ["frozen"] + ["new"] * 99
    table = summary(scores, 0.95)
    low, high = charts.difference(table, POLICY).axes[0].get_xlim()
    assert (low, high) == pytest.approx((-2, 11), abs=1.5)
    alone = charts.difference(table.loc[["frozen"]], POLICY)
    assert [label.get_text() for label in alone.axes[0].get_yticklabels()] == ["frozen\n1 image"]


def test_the_rows_of_extras_come_below_in_a_colour_of_their_own():
    table = summary(scores_of(["a"] * 4, ["b", "a", "a", "a"], ["a"] * 4), 0.95)
    axes = charts.difference(table, POLICY, [Row("the data", 0.02, -0.03, 0.9), None]).axes[0]
    assert axes.get_yticklabels()[-1].get_text() == "the data"
    lines, marks = axes.collections
    assert lines.get_paths()[-1].vertices[:, 0].tolist() == [-3.0, 90.0]
    assert np.asarray(marks.get_offsets())[-1, 0] == 2.0
    assert not np.array_equal(marks.get_facecolor()[-1], marks.get_facecolor()[0])
    assert axes.get_xlim()[1] > 90


def test_calibration_says_who_is_too_sure():
    actual = ["a"] * 10
    figure = charts.calibration(scores_of(actual, ["a"] * 10, ["a"] * 5 + ["b"] * 5, confidence=0.9))
    assert figure.finding == (
        "The new model is overconfident by 40.0 points, the old one underconfident by 10.0 points"
    )
    assert figure.axes[1].get_title(loc="left") == "New: mean confidence 90.0 %, accuracy 50.0 %"
