"""Charts, one per function. A function returns None if there is nothing to show."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from helpers.comparison.counting import measure_shares
from helpers.comparison.decision import Row
from helpers.comparison.rules import FEWEST_IMAGES
from helpers.comparison.tables import models_in
from helpers.comparison.words import count_of, interval_name, listed, percent, signed
from helpers.figures.style import COLOURS, INK, NEW, OLD, PALE, QUIET, Chart, label_text, shorten, styled

SHADES = LinearSegmentedColormap.from_list("old to new", [OLD, "#EEEEEE", NEW])
ROWS, MATRIX = 25, 20  # most classes in a chart with a row for each, and in a confusion matrix
NUMBERED = 12  # classes of a confusion matrix whose cells have room for a number
WIDTH = 9.0  # inches
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:g} %")


@styled
def class_balance(balance: pd.DataFrame) -> Chart:
    """Show the images of each class before and after the merge, from `helpers.merge.plan.count_classes`."""
    before, after = balance["before"], balance["after"]
    title = (
        f"From {before.sum():,} to {after.sum():,} images; "
        f"classes have {after.min():,} to {after.max():,}, before {before.min():,} to {before.max():,}"
    )
    note = f"The {ROWS} of {len(balance)} classes that change most." if len(balance) > ROWS else ""
    most = (after - before).abs().nlargest(ROWS).index
    shown = balance.loc[most].sort_values("after", ascending=False, kind="stable")

    figure, (axes,) = make_panels(1, 0.9 + 0.27 * len(shown), title, note)
    rows = _name_rows(axes, [label_text(label) for label in shown.index])
    axes.barh(rows - 0.19, shown["before"], 0.34, color=OLD, label="before")
    bars = axes.barh(rows + 0.19, shown["after"], 0.34, color=NEW, label="after")
    axes.bar_label(bars, [signed(change) for change in shown["after"] - shown["before"]], padding=4, size=8)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("images")
    _legend_above(axes)
    return figure


@styled
def learning_curves(new_history: pd.DataFrame, old_history: pd.DataFrame | None = None) -> Chart:
    """Show loss and accuracy of both models by epoch, from the histories of `helpers.pipeline.train.train`."""
    histories = {"new": new_history} if old_history is None else {"old": old_history, "new": new_history}
    ends = {name: percent(history["held_out_accuracy"].iloc[-1]) for name, history in histories.items()}
    title, note = f"Held-out accuracy ends at {ends['new']}", ""
    if "old" in ends:
        title += f", the old model's at {ends['old']}"
        note = "Each model on the images that were held out when it was trained."

    figure, panels = make_panels(2, 2.9, title, note)
    for axes, column, heading in zip(panels, ("loss", "accuracy"), ("Cross-entropy (nats)", "Accuracy"), strict=True):
        for name, history in histories.items():
            epochs, colour = history["epoch"], COLOURS[name]
            axes.plot(epochs, history[f"held_out_{column}"], ".-", color=colour, label=f"{name}, held-out")
            axes.plot(epochs, history[column], ".:", color=colour, label=f"{name}, training", lw=1)
        axes.set(title=heading, xlabel="epoch")
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    panels[0].set_ylim(bottom=0)
    panels[0].legend()
    panels[1].yaxis.set_major_formatter(PERCENT)
    return figure


@styled
def confusion_matrices(scores: pd.DataFrame) -> Chart | None:
    """Show the confusion matrices of both models and their difference on the scored images.

    Images of new classes are shown, too, and count among no mistakes. A cell's shade is the square root of its share of
    the actual class, so that rare mistakes are visible.
    """
    scored = scores[scores["scored"]]
    if scored.empty:
        return None
    models = models_in(scored)
    of_new_classes = ~scores["scored"] & scores["known_to"].eq("new") & scores["population"].ne("leaked")
    shown = scores[scores["scored"] | of_new_classes]
    answers = shown[["actual", *(f"{name}_predicted" for name in models)]].set_axis(["actual", *models], axis=1)
    wrong = {name: answers.loc[shown["scored"] & ~shown[f"{name}_right"], ["actual", name]] for name in models}
    headings = {name: f"{name.capitalize()}: {count_of(len(wrong[name]), 'mistake')}" for name in models}
    answers, note = _fold_classes(answers, wrong)
    if of_new_classes.any():
        names = listed([label_text(label) for label in sorted(scores.loc[of_new_classes, "actual"].unique())])
        note = f"{note} Not counted: {count_of(of_new_classes.sum(), 'image')} of new classes ({names}).".strip()
    tables = {name: pd.crosstab(answers["actual"], answers[name], dropna=False) for name in models}
    support = tables["new"].sum(axis=1).clip(lower=1)
    if "old" in models:
        tables["difference"] = tables["new"] - tables["old"]
        headings["difference"] = "New minus old"

    labels = [label_text(label, 16) for label in support.index]
    length = 0.08 * max(map(len, labels))  # inches
    turned = length > 2.4 / len(labels)
    title, height = _describe_mistakes(wrong, len(scored)), 3.1 + length * turned
    figure, panels = make_panels(len(tables), height, title, note, sharey=True)
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        share = table.div(support, axis=0) * (-1 if name == "old" else 1)
        _fill_cells(axes, table.to_numpy(), share.to_numpy(), signed if name == "difference" else "{:,}".format)
        axes.set(title=headings[name], xlabel="predicted", anchor="W")
        axes.set_xticks(range(len(labels)), labels=labels, rotation=90 * turned)
    panels[0].set_yticks(range(len(labels)), labels=labels)
    panels[0].set_ylabel("actual")
    return figure


def _describe_mistakes(wrong: dict[str, pd.DataFrame], images: int) -> str:
    """Count the mistakes of each model, a table of actual and predicted classes, and name the commonest new one."""
    sentence = f"{count_of(len(wrong['new']), 'mistake')} on {count_of(images, 'image')}"
    sentence += f", {len(wrong['old']):,} before" if "old" in wrong else ""
    common = wrong["new"].value_counts()
    if common.max() > 1:  # once is no habit
        actual, predicted = map(shorten, common.index[0])
        sentence += f"; most often “{actual}” is taken for “{predicted}” ({common.iloc[0]:,})"
    return sentence


def _fold_classes(answers: pd.DataFrame, wrong: dict[str, pd.DataFrame]) -> tuple[pd.DataFrame, str]:
    """Make the classes categories; of many, the ones with fewest mistakes share one, which a note says."""
    classes, note = sorted(set(answers.stack())), ""
    if len(classes) > MATRIX:
        note = f"The {MATRIX} of {len(classes)} classes with most mistakes; the others share one row and one column."
        mistakes = pd.concat([pair.stack() for pair in wrong.values()]).value_counts()
        worst = mistakes.reindex(classes, fill_value=0).nlargest(MATRIX).index
        others = f"{len(classes) - MATRIX} others"
        answers = answers.where(answers.isin(worst), others)
        classes = [*sorted(worst), others]
    return answers.astype(pd.CategoricalDtype(classes)), note


def _fill_cells(axes: Axes, table: np.ndarray, shares: np.ndarray, write: Callable[[int], str]) -> None:
    """Shade the cells of a matrix by their shares, −1 to 1, and write their numbers into them where these fit."""
    depth = np.sign(shares) * np.sqrt(np.abs(shares))
    shades = np.ma.masked_where(table == 0, depth)  # the page shows through empty cells
    axes.imshow(shades, cmap=SHADES, vmin=-1, vmax=1, interpolation="none")
    axes.spines[:].set(visible=True, color=PALE)
    numbered = len(table) <= NUMBERED
    axes.tick_params(labelsize=9 if numbered else 7)
    for row, column in np.argwhere(table) if numbered else []:
        colour = "white" if depth[row, column] > 0.6 else INK
        text, size = write(table[row, column]), 10 - 0.3 * len(table)
        axes.text(column, row, text, ha="center", va="center", size=size, color=colour)


@styled
def per_class_change(per_class: pd.DataFrame) -> Chart | None:
    """Show the recall of each class, old and new, with 95 % intervals; the worst change comes first."""
    change = per_class.get("recall_difference", pd.Series(dtype=float))
    known = change.dropna().sort_values(kind="stable")
    if known.empty:
        return None
    fallen = [f"“{shorten(label)}”" for label in known.index[known < 0]]
    title = f"Recall rose for {(known > 0).sum()} of {len(known)} classes, fell for {len(fallen) or 'none'}"
    title += f" ({', '.join(fallen)})" if 0 < len(fallen) <= 3 else ""
    order, alone = known.index, change.index[change.isna()]
    note = "Lines: 95 % intervals. In brackets: number of images."
    if len(alone):
        note = f"Only the new model knows {len(alone)} of {len(change)} classes. {note}"
    if len(known) > ROWS:
        worst, best = known.index[: ROWS // 2], known.index[ROWS // 2 - ROWS :]
        note = f"The {len(worst)} classes with the worst change and the {len(best)} with the best. {note}"
        order = worst.append(best)

    shown = per_class.loc[order.append(alone[: ROWS - len(order)])]
    figure, (axes,) = make_panels(1, 0.9 + 0.27 * len(shown), title, note)
    rows = _name_rows(axes, [f"{label_text(label)}  ({images:,})" for label, images in shown["support"].items()])
    axes.hlines(rows, shown["old_recall"], shown["new_recall"], color=QUIET, lw=1.2, zorder=1)
    for name, offset, size in (("old", -0.2, 64), ("new", 0.2, 25)):
        low, high = shown[f"{name}_recall_low"], shown[f"{name}_recall_high"]
        axes.hlines(rows + offset, low, high, color=COLOURS[name], lw=1.2)
        axes.scatter(shown[f"{name}_recall"], rows, size, color=COLOURS[name], label=name, zorder=3)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_xlim(right=1.015)
    axes.set_xlabel("recall")
    _legend_above(axes)
    return figure


@styled
def difference(
    summary: pd.DataFrame, policy: Mapping[str, Any], more: Iterable[Row | None] = (), width: float = WIDTH
) -> Chart | None:
    """Show the change of accuracy in each population, with its interval, and the margin of a decision's policy.

    Extras have `more` rows. The `width` is in inches.
    """
    if "difference" not in summary:
        return None
    accuracy = summary.xs("accuracy", level="metric")
    if len(accuracy) == 2:  # a single population equals "together"
        accuracy = accuracy.head(1)
    margin, level = policy["margin"], interval_name(policy["confidence"])
    names = [f"{name}\n{count_of(images, 'image')}" for name, images in accuracy["images"].items()]
    own = map(Row, names, accuracy["difference"], accuracy["low"], accuracy["high"])
    shown = 100 * pd.DataFrame([*own, *filter(None, more)]).set_index("name")
    change, low, high = shown.iloc[len(names) - 1].round(1)
    moved = f"{'rose' if change > 0 else 'fell'} by {abs(change):.1f} points" if change else "did not change"
    title = f"Accuracy {moved} ({level} {signed(low, 1)} to {signed(high, 1)})"

    figure, (axes,) = make_panels(1, 0.8 + 0.4 * len(shown), title, width=width)
    rows = _name_rows(axes, list(shown.index))
    colours = [NEW if row < len(names) else QUIET for row in rows]
    axes.axvspan(-100 * margin, 100 * margin, color=PALE, lw=0)
    axes.axvline(0, color=QUIET, lw=1)
    axes.hlines(rows, shown["low"], shown["high"], color=colours, lw=2)
    axes.scatter(shown["difference"], rows, 45, color=colours, zorder=3)
    for row, value in zip(rows, shown["difference"], strict=True):
        axes.text(value, row - 0.22, signed(value, 1), ha="center", size=8, clip_on=True)
    axes.text(0, -0.67, f"margin ±{100 * margin:g}", ha="center", size=8, color=QUIET)
    # A population of a few images has an interval that would press the others flat: it ends at the edge.
    units = accuracy.get("scenes", accuracy["images"])
    few = units.to_numpy() < min(FEWEST_IMAGES, units.max())
    wide = shown.drop(index=shown.index[: len(names)][few])
    reach = [-100 * margin, 100 * margin, *wide["low"], *wide["high"]]
    room = 0.08 * (max(reach) - min(reach))
    axes.set(xlim=(min(reach) - room, max(reach) + room), xlabel="new minus old, percentage points")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", "−") if x else "0"))
    return figure


@styled
def calibration(scores: pd.DataFrame) -> Chart | None:
    """Show how often predictions on scored images are right, by confidence, with Wilson's 95 % intervals."""
    scored = scores[scores["scored"]]
    if scored.empty:
        return None
    models = models_in(scored)
    verdict = {}
    for name in models:
        excess = 100 * (scored[f"{name}_confidence"] - scored[f"{name}_right"]).mean()
        verdict[name] = f"{'over' if excess > 0 else 'under'}confident by {abs(excess):.1f} points"
    title = f"The new model is {verdict['new']}" + (f", the old one {verdict['old']}" if "old" in models else "")
    note = "On the diagonal, confidence and accuracy agree. Vertical lines: 95 % intervals. Area: number of images. "
    note += "Each half of the images is judged with the temperature that is fitted on the other half."

    figure, panels = make_panels(len(models), 3.5, title, note, sharey=True)
    for axes, name in zip(panels, models, strict=True):
        confidence, right = scored[f"{name}_confidence"], scored[f"{name}_right"]
        tenths = np.ceil(10 * confidence)
        x, bins = confidence.groupby(tenths).mean(), measure_shares(right, tenths, scored.get("scene"))
        axes.plot([0, 1], [0, 1], color=QUIET, lw=1)
        axes.vlines(x, bins["low"], bins["high"], color=COLOURS[name])
        areas = 20 + 200 * bins["images"] / len(scored)
        axes.scatter(x, bins["share"], areas, color=COLOURS[name], zorder=3, clip_on=False)
        means = f"mean confidence {percent(confidence.mean())}, accuracy {percent(right.mean())}"
        axes.set_title(f"{name.capitalize()}: {means}")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence of the prediction")
        axes.grid()
        axes.xaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_formatter(PERCENT)
    panels[0].set_ylabel("share that is right")
    return figure


def make_panels(
    count: int, height: float, finding: str, note: str = "", *, width: float = WIDTH, **options: Any
) -> tuple[Chart, list[Axes]]:
    """Start a chart with panels side by side, with its finding and a note."""
    figure = Chart((width, height), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06))
    figure.finding, figure.note = finding, note
    return figure, list(figure.subplots(1, count, squeeze=False, **options)[0])


def mark_models(
    axes: Axes, images: Any, accuracy: pd.Series, low: pd.Series, high: pd.Series, refused: Iterable[bool] = ()
) -> None:
    """Mark the accuracy of models with its interval: the last in the new model's colour, `refused` ones as rings."""
    past = len(accuracy) - 1
    colours = [QUIET] * past + [NEW]
    axes.vlines(images, low, high, color=colours, lw=1.5)
    faces = ["none" if ring else colour for colour, ring in zip_longest(colours, refused)]
    axes.scatter(images, accuracy, [30] * past + [70], facecolor=faces, edgecolor=colours, zorder=3)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("training images")
    axes.grid(axis="y")


def _name_rows(axes: Axes, names: Sequence[str]) -> np.ndarray:
    """Give a chart a row for each name, from top to bottom, and return their y."""
    rows = np.arange(len(names))
    axes.set_yticks(rows, labels=names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    return rows


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0.2, borderaxespad=0)
