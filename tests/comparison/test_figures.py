"""The figures: what their titles say is so, what they leave out they count, and no label can break them."""

import io
import warnings
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.text import Text
from nbclient import NotebookClient
from PIL import Image
from sklearn.datasets import load_digits

from helpers.comparison import charts, galleries
from helpers.comparison.scores import score_images
from helpers.comparison.style import NEW, OLD
from helpers.comparison.tables import flips, per_class, summary

PROJECT = Path(__file__).parents[2]
PLANETS = Path(__file__).parents[3] / "shared/planets/raw"
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [2.1, 0.9, 0.4],
        "accuracy": [0.3, 0.8, 0.9],
        "held_out_loss": [2.0, 1.0, 0.5],
        "held_out_accuracy": [0.35, 0.75, 0.875],
    }
)
HOSTILE = ["$x_1$", "100 %_\\frac", "月球", "🪐 moon", "a\nb\x00c", "سبعة", "w" * 200, "</b>", "", "\udc80"]


def scores_of(actual: list[str], old: list[str] | None, new: list[str], confidence: float = 0.9) -> pd.DataFrame:
    """Both models' predictions, as `score_images` puts them side by side."""
    classes = sorted({*actual, *(old or []), *new})
    files = [f"{number}.png" for number in range(len(actual))]

    def probabilities(predicted: list[str]) -> pd.DataFrame:
        rest = (1 - confidence) / max(1, len(classes) - 1)
        rows = [[confidence if label == said else rest for label in classes] for said in predicted]
        return pd.DataFrame(rows, index=files, columns=classes)

    contents = [f"{number:063x}0" for number in range(len(actual))]  # of one half: confidences stay as they are
    held_out = pd.DataFrame({"file": files, "label": actual, "sha256": contents})
    old_index = pd.DataFrame({"sha256": contents[::2], "split": "held-out"})
    return score_images(held_out, probabilities(new), probabilities(old) if old else None, old_index)


def many_scores(classes: list[str], images: int = 200) -> pd.DataFrame:
    """An old model that is right in about half of the images, a new one that is right in most."""
    chance = np.random.default_rng(0)
    actual, noise = chance.choice(classes, (2, images))
    old, new = (np.where(chance.random(images) < wrong, noise, actual) for wrong in (0.5, 0.2))
    return scores_of(actual.tolist(), old.tolist(), new.tolist())


def all_figures(scores: pd.DataFrame, folder: Path) -> dict[str, Figure]:
    labels = scores["actual"]
    balance = labels.value_counts().rename("after").to_frame().assign(before=3)
    return {
        "gallery": galleries.gallery([folder / file for file in scores["file"]], labels, f"Labelled {labels[0]}"),
        "class_balance": charts.class_balance(balance[["before", "after"]]),
        "learning_curves": charts.learning_curves(HISTORY, HISTORY),
        "confusion_matrices": charts.confusion_matrices(scores),
        "per_class_change": charts.per_class_change(per_class(scores)),
        "difference": charts.difference(summary(scores), margin=0.01, control=[0.0, 0.02, -0.01]),
        "calibration": charts.calibration(scores),
        "flip_gallery": galleries.flip_gallery(flips(scores), folder),
    }


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """Two hundred real digits, 8 × 8 pixels, as 0.png to 199.png."""
    folder = tmp_path_factory.mktemp("digits")
    for number, pixels in enumerate(load_digits().images[:200]):
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def figures(digits) -> dict[str, Figure]:
    return all_figures(many_scores(list("0123456789")), digits)


def as_png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, bbox_inches="tight")
    return file.getvalue()


def texts(figure: Figure) -> list[str]:
    """Every piece of text that can be seen."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def title(figure: Figure) -> str:
    first = figure.get_suptitle() or figure.axes[0].texts[0].get_text()
    return first.replace("\n", " ")


def pictures_in(figure: Figure) -> int:
    return sum(len(axes.images) for axes in figure.axes)


# In every figure


@pytest.mark.parametrize("classes", [HOSTILE, [f"class number {n} of a hundred" for n in range(100)]])
def test_labels_are_never_markup_and_give_no_warning(classes, digits, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, figure in all_figures(many_scores(classes), digits).items():
            figure.draw_without_rendering()
            assert not any(text.get_parse_math() for text in figure.findobj(Text) if text.get_text()), name
    assert capfd.readouterr().err == ""


def test_labels_are_shown_as_they_are_written():
    labels = ["$x_1$", "100 %", r"\frac{1}"]
    figure = charts.class_balance(pd.DataFrame({"before": 1, "after": 2}, index=labels))
    assert set(labels) <= set(texts(figure))


def test_labels_that_no_font_can_draw_can_still_be_told_apart():
    figure = charts.class_balance(pd.DataFrame({"before": 1, "after": [2, 3]}, index=["a\U0010fffd", "a\U0010fffe"]))
    assert {"a\\U0010fffd", "a\\U0010fffe"} <= set(texts(figure))


def test_long_labels_keep_both_ends():
    figure = charts.class_balance(
        pd.DataFrame({"before": [1], "after": [2]}, index=["left wing of an " * 9 + "Airbus"])
    )
    label = figure.axes[0].get_yticklabels()[0].get_text()
    assert label.startswith("left wing")
    assert label.endswith("Airbus")
    assert len(label) < 30


@pytest.mark.parametrize("name", ["class_balance", "learning_curves", "per_class_change", "flip_gallery"])
def test_a_legend_gives_old_and_new_the_same_colours_everywhere(figures, name):
    legend = next(axes.get_legend() for axes in figures[name].axes if axes.get_legend())
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        colour = handle.get_color() if hasattr(handle, "get_color") else handle.get_facecolor()
        is_new = text.get_text().startswith(("new", "after"))
        assert same_color(colour, NEW if is_new else OLD), text.get_text()


def test_panels_of_old_and_new_have_their_colours(figures):
    old, new = figures["calibration"].axes
    for axes, colour in ((old, OLD), (new, NEW)):
        assert all(same_color(marks.get_edgecolor()[:1], colour) for marks in axes.collections)
    old, new, _ = (axes.images[0] for axes in figures["confusion_matrices"].axes)
    for image, colour in ((old, OLD), (new, NEW)):
        array = image.get_array()
        strongest = array.flat[np.abs(array).argmax()]
        nearest = min((OLD, NEW), key=lambda c: np.abs(mpl.colors.to_rgba(c) - image.to_rgba([strongest])).sum())
        assert nearest == colour


def test_figures_leave_the_users_settings_and_figures_alone(digits):
    mine = plt.figure()
    with plt.rc_context({"text.color": "red", "figure.facecolor": "black", "font.size": 30}):
        before = mpl.rcParams.copy()
        figure = charts.class_balance(pd.DataFrame({"before": [1], "after": [2]}, index=["a"]))
        assert mpl.rcParams == before
    assert plt.get_fignums() == [mine.number]
    assert same_color(figure.get_facecolor(), "white")
    plt.close(mine)


def test_a_notebook_shows_each_figure_once_and_still_shows_the_users_own():
    cells = [
        f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n"
        "import pandas as pd\n"
        "from helpers.comparison import charts\n"
        "charts.class_balance(pd.DataFrame({'before': [1], 'after': [2]}, index=['月 $']))",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    for cell in notebook.cells:
        assert ["image/png" in output.get("data", {}) for output in cell.outputs] == [True]


@pytest.mark.skipif(not PLANETS.exists(), reason="needs ../shared/planets")
def test_photographs_leave_the_notebook_small_enough_to_pass_round():
    files = [file for folder in sorted(PLANETS.iterdir()) for file in sorted(folder.iterdir())[:12]]
    assert len(as_png(galleries.gallery(files, [file.parent.name for file in files], "Planets", most=40))) < 400_000


def test_where_there_is_nothing_to_show_there_is_no_figure(digits):
    first = scores_of(["a", "b"], None, ["a", "b"])
    unscored = scores_of(["a", "b"], ["a", "b"], ["a", "b"]).assign(scored=False, population="leaked")
    nothing = [
        charts.confusion_matrices(unscored),
        charts.calibration(unscored),
        galleries.flip_gallery(flips_of(1, 0).head(0), digits),
        galleries.gallery([], [], "Corrected labels"),
        galleries.near_duplicates(pd.DataFrame(columns=["file", "label", "like", "like_label"]), digits),
    ]
    for scores in (first, unscored):
        nothing += [charts.per_class_change(per_class(scores)), charts.difference(summary(scores), 0)]
    assert nothing == [None] * 9


# Figure by figure


def test_class_balance_says_how_the_training_set_grew():
    balance = pd.DataFrame({"before": [100, 0, 30], "after": [90, 40, 30]}, index=["a", "b", "c"])
    figure = charts.class_balance(balance)
    assert title(figure) == "From 130 to 160 images; classes have 30 to 90, before 0 to 100"
    assert {"−10", "+40", "0"} <= set(texts(figure))


def test_class_balance_of_a_hundred_classes_shows_those_that_change_most():
    balance = pd.DataFrame({"before": 100, "after": range(100, 200)}, index=[f"c{n}" for n in range(100)])
    figure = charts.class_balance(balance)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [f"c{n}" for n in range(99, 74, -1)]
    assert "The 25 of 100 classes that change most." in texts(figure)


def test_learning_curves_name_the_last_held_out_accuracy_of_both():
    old = HISTORY.assign(held_out_accuracy=0.5)
    assert title(charts.learning_curves(HISTORY, old)) == "Held-out accuracy ends at 87.5 %, the old model's at 50.0 %"
    alone = charts.learning_curves(HISTORY)
    assert title(alone) == "Held-out accuracy ends at 87.5 %"
    assert not any("old" in text for text in texts(alone))


def test_confusion_matrices_count_the_mistakes_and_name_the_commonest():
    actual = ["Moon"] * 5 + ["Mars"] * 5
    old = ["Mars"] * 5 + ["Mars"] * 5
    new = ["Moon"] * 3 + ["Pluto"] * 2 + ["Mars"] * 4 + ["Moon"]
    figure = charts.confusion_matrices(scores_of(actual, old, new))
    assert title(figure) == "3 mistakes on 10 images, 5 before; most often “Moon” is taken for “Pluto” (2)"
    before, after, change = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Old: 5 mistakes",
        "New: 3 mistakes",
        "New minus old",
    ]
    assert sorted(text.get_text() for text in before.texts) == ["5", "5"]
    assert sorted(text.get_text() for text in after.texts) == ["1", "2", "3", "4"]
    assert sorted(text.get_text() for text in change.texts) == ["+1", "+2", "+3", "−1", "−5"]


def test_confusion_matrix_without_an_old_model_is_one_panel():
    figure = charts.confusion_matrices(scores_of(["a", "b"], None, ["a", "b"]))
    assert title(figure) == "0 mistakes on 2 images"
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


def test_recall_is_counted_class_by_class():
    actual = ["rose"] * 4 + ["fell"] * 4 + ["same"] * 4
    old = ["rose"] * 2 + ["same"] * 2 + ["fell"] * 4 + ["same"] * 4
    new = ["rose"] * 3 + ["same"] * 1 + ["fell"] * 1 + ["same"] * 3 + ["same"] * 4
    figure = charts.per_class_change(per_class(scores_of(actual, old, new)))
    assert title(figure) == "Recall rose for 1 of 3 classes, fell for 1 (“fell”)"
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
    assert title(figure) == "Recall rose for 0 of 1 classes, fell for none"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["b  (2)", "a  (1)"]
    assert any("Known to one model only: 1 of 2 classes." in text for text in texts(figure))


@pytest.mark.parametrize(
    ("better", "worse", "finding"),
    [(3, 1, "rose by 20.0 points"), (1, 3, "fell by 20.0 points"), (1, 1, "did not change")],
)
def test_the_difference_says_which_way_accuracy_went_and_how_surely(better, worse, finding):
    right, wrong = ["a"], ["b"]
    old = wrong * better + right * worse + right * (10 - better - worse)
    new = right * better + wrong * worse + right * (10 - better - worse)
    table = summary(scores_of(["a"] * 10, old, new))
    figure = charts.difference(table, margin=0.02)
    low, high = table.loc[("together", "accuracy"), ["low", "high"]] * 100
    assert title(figure) == f"Accuracy {finding} (95 % interval {low:+.1f} to {high:+.1f})".replace("-", "−")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["frozen\n5 images", "new\n5 images", "together\n10 images"]
    assert "margin ±2" in texts(figure)


def test_the_difference_of_a_single_population_is_shown_once():
    scores = scores_of(["a"] * 4, ["b", "a", "a", "a"], ["a"] * 4)
    axes = charts.difference(summary(scores[scores["population"] == "new"]), 0.01).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["new\n2 images"]


def test_the_difference_is_drawn_against_what_other_seeds_do():
    table = summary(scores_of(["a"] * 4, ["b", "a", "a", "a"], ["a"] * 4))
    axes = charts.difference(table, 0.01, control=[0.02, -0.03]).axes[0]
    assert axes.get_yticklabels()[-1].get_text() == "old data,\nother seeds"
    assert [2.0, -3.0] in [np.asarray(marks.get_offsets())[:, 0].tolist() for marks in axes.collections]


def test_calibration_says_who_is_too_sure():
    actual = ["a"] * 10
    figure = charts.calibration(scores_of(actual, ["a"] * 10, ["a"] * 5 + ["b"] * 5, confidence=0.9))
    assert title(figure) == ("The new model is overconfident by 40.0 points, the old one underconfident by 10.0 points")
    assert figure.axes[1].get_title(loc="left") == "New: mean confidence 90.0 %, accuracy 50.0 %"


def flips_of(broken: int, fixed: int) -> pd.DataFrame:
    right, wrong = (["a"] * broken, ["b"] * broken), (["b"] * fixed, ["a"] * fixed)
    table = flips(scores_of(["a"] * (broken + fixed), right[0] + wrong[0], right[1] + wrong[1]))
    return table.assign(file=[f"{number % 200}.png" for number in range(len(table))])


@pytest.mark.parametrize(
    ("broken", "fixed", "shown", "left_out"),
    [
        (2, 2, 4, []),
        (200, 200, 24, [188, 188]),
        (2, 398, 24, [376]),
        (398, 2, 24, [376]),
        (5_000, 5_000, 24, [4_988, 4_988]),
        (0, 1, 1, []),
    ],
)
def test_the_gallery_of_flips_counts_what_it_does_not_show(digits, broken, fixed, shown, left_out):
    figure = galleries.flip_gallery(flips_of(broken, fixed), digits)
    assert pictures_in(figure) == shown
    said = [text for text in texts(figure) if "more are not shown" in text]
    assert [int(text.split("(")[1].split()[0].replace(",", "")) for text in said] == left_out
    assert title(figure).startswith(f"The new model corrects {fixed:,} mistake")


def test_each_flip_has_its_label_both_predictions_and_both_confidences(digits):
    scores = scores_of(["Moon"], ["Moon"], ["Mars"], confidence=0.83)
    figure = galleries.flip_gallery(flips(scores), digits)
    under_the_picture = [text.get_text() for text in figure.axes[0].texts[2:]]
    assert under_the_picture == ["Moon", "■", "Moon (83 %)", "■", "Mars (83 %)"]
    marks = [text.get_color() for text in figure.axes[0].texts if text.get_text() == "■"]
    assert marks == [OLD, NEW]


def test_pictures_show_the_first_ones_and_count_the_others(digits):
    files = pd.Series([digits / f"{number}.png" for number in range(100)])
    figure = galleries.gallery(files, files.map(lambda file: f"digit {file.stem}"), "Digits", most=10)
    assert title(figure) == "Digits (90 more are not shown)"
    assert pictures_in(figure) == 10
    assert [text for text in texts(figure) if text.startswith("digit ")] == [f"digit {number}" for number in range(10)]


def test_small_pictures_are_enlarged_without_blur_and_keep_their_shape(digits, tmp_path):
    Image.new("L", (300, 100)).save(tmp_path / "wide.png")
    digit, wide = galleries.gallery([digits / "0.png", tmp_path / "wide.png"], ["", ""], "Two").axes[0].images
    assert digit.get_size() == (8, 8)
    assert digit.get_interpolation() == "nearest"
    left, right, bottom, top = wide.get_extent()
    assert right - left == pytest.approx(galleries.PICTURE)
    assert bottom - top == pytest.approx(galleries.PICTURE / 3)


def test_pictures_are_shown_as_the_classifier_sees_them(tmp_path):
    Image.fromarray(np.array([[0, 20_000, 65_535]], dtype=np.uint16)).save(tmp_path / "greys.png", transparency=0)
    (shown,) = galleries.gallery([tmp_path / "greys.png"], [""], "Greys").axes[0].images
    assert np.asarray(shown.get_array())[0, :, 0].tolist() == pytest.approx([255, 78, 255], abs=8)


def test_a_picture_that_cannot_be_read_does_not_take_the_others_with_it(digits, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [tmp_path / "broken.png", tmp_path / "missing.png", digits / "1.png"]
    figure = galleries.gallery(files, ["a", "b", "c"], "Pictures")
    assert pictures_in(figure) == 1
    assert texts(figure).count("cannot\nbe read") == 2
