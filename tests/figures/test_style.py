"""In every figure: no label can break it, colours mean the same, and the user's own settings stay."""

import warnings
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from drawings import HISTORY, all_figures, many_scores, scores_of, texts
from markupsafe import escape
from matplotlib.colors import same_color
from matplotlib.text import Text
from nbclient import NotebookClient
from score_tables import POLICY

from helpers.comparison.tables import per_class, summary
from helpers.figures import charts
from helpers.figures.style import NEW, OLD, Chart

PROJECT = Path(__file__).parents[2]
HOSTILE = ["$x_1$", "100 %_\\frac", "月球", "🪐 moon", "a\nb\x00c", "سبعة", "w" * 200, "</b>", "", "\udc80"]


@pytest.fixture(scope="module")
def figures() -> dict[str, Chart]:
    return all_figures(many_scores(list("0123456789")))


@pytest.mark.parametrize("classes", [HOSTILE, [f"class number {n} of a hundred" for n in range(100)]])
def test_labels_are_never_markup_and_give_no_warning(classes, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, figure in all_figures(many_scores(classes)).items():
            html = figure.shown().html
            assert "</b>" not in html
            html.encode()
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


@pytest.mark.parametrize("name", ["class_balance", "learning_curves", "per_class_change"])
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


def test_figures_leave_the_users_settings_and_figures_alone():
    mine = plt.figure()
    with plt.rc_context({"text.color": "red", "figure.facecolor": "black", "font.size": 30}):
        before = mpl.rcParams.copy()
        figure = charts.class_balance(pd.DataFrame({"before": [1], "after": [2]}, index=["a"]))
        assert mpl.rcParams == before
    assert plt.get_fignums() == [mine.number]
    assert figure.get_facecolor()[3] == 0, "light and dark pages show through"
    plt.close(mine)


@pytest.mark.slow
def test_a_notebook_shows_each_figure_once_and_still_shows_the_users_own():
    user = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    cells = [
        user,
        f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n"
        "import pandas as pd\n"
        "from helpers.figures import charts\n"
        "charts.class_balance(pd.DataFrame({'before': [1], 'after': [2]}, index=['月 $']))",
        user,
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    kinds = [[sorted(output.get("data", {})) for output in cell.outputs] for cell in notebook.cells]
    users = [["image/png", "text/plain"]]
    assert kinds == [users, [["text/html", "text/plain"]], users]


def test_where_there_is_nothing_to_show_there_is_no_figure():
    first = scores_of(["a", "b"], None, ["a", "b"])
    unscored = scores_of(["a", "b"], ["a", "b"], ["a", "b"]).assign(scored=False, population="leaked")
    nothing = [
        charts.confusion_matrices(unscored),
        charts.calibration(unscored),
    ]
    for scores in (first, unscored):
        nothing += [
            charts.per_class_change(per_class(scores)),
            charts.difference(summary(scores, 0.95), POLICY.model_dump()),
        ]
    assert nothing == [None] * 6


def test_a_figure_tells_its_finding_to_those_who_cannot_see_it(figures):
    for figure in figures.values():
        assert f'alt="{escape(figure.finding)}"' in figure.shown().html
        assert figure.finding


def test_a_drawing_does_not_depend_on_the_settings_of_the_notebook():
    chart = charts.learning_curves(HISTORY, HISTORY)
    drawings = set()
    for size in (9, 20):  # which would make room for fewer and longer ticks
        with mpl.rc_context({"font.size": size}):
            drawings.add(chart.shown().html)
    assert len(drawings) == 1
