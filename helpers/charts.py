"""Figures for the notebook: one function, one figure, all in one style."""

import textwrap
from collections.abc import Callable, Collection, Sequence
from functools import cache, wraps
from math import ceil
from pathlib import Path
from typing import Any, ParamSpec
from unicodedata import east_asian_width

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import ImageOps

from helpers.images import UNREADABLE, open_image
from helpers.statistics import wilson

COLOURS = {"old": "#E69F00", "new": "#0072B2"}  # Okabe and Ito: told apart with any colour vision, and in grey
OLD, NEW = COLOURS.values()
INK, QUIET, PALE = "#222222", "#707070", "#E4E4E4"
SHADES = LinearSegmentedColormap.from_list("old to new", [OLD, "white", NEW])
FONTS = ["DejaVu Sans", "Arial Unicode MS", "Noto Sans CJK JP", "Droid Sans Fallback", "Microsoft YaHei"]
STYLE: dict[str, Any] = {
    "font.family": [name for name in FONTS if name in font_manager.get_font_names()],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a label may hold dollar signs
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
}
DPI = 100
WIDTH, EDGE, PICTURE, LINE = 9.0, 0.1, 0.84, 0.15  # inches: a page, its edge, a picture on it, a line of small text
ROWS, MATRIX = 25, 20  # classes that fit into a chart with a row for each, and into a confusion matrix
PERCENT = PercentFormatter(1, symbol=" %")
NOTHING = "Nothing to compare: there is no old model, or no held-out image to score both on"
P = ParamSpec("P")


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in `STYLE`, whatever the notebook has set for its own figures, and leave that as it was."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        plt.draw_if_interactive()  # loads a notebook's backend; within the style, its settings would be undone
        with plt.style.context(["default", STYLE]):
            figure = draw(*args, **kwargs)
            if layout := figure.get_layout_engine():  # here, because ticks take the style of this moment
                layout.execute(figure)
                layout.execute(figure)  # squares settle at the second time
                figure.set_layout_engine("none")
        plt.close(figure)  # else a notebook shows it a second time
        return figure

    return styled


@_styled
def class_balance(balance: pd.DataFrame) -> Figure:
    """Images of each class before and after the merge.

    Parameters
    ----------
    balance : DataFrame
        From `helpers.dataset.class_balance`.
    """
    before, after = balance["before"], balance["after"]
    title = (
        f"From {before.sum():,} to {after.sum():,} images; "
        f"classes have {after.min():,} to {after.max():,}, before {before.min():,} to {before.max():,}"
    )
    note = f"The {ROWS} of {len(balance)} classes that change most." if len(balance) > ROWS else ""
    most = (after - before).abs().nlargest(ROWS).index
    shown = balance.loc[most].sort_values("after", ascending=False, kind="stable")
    figure, (axes,) = _panels(1, 1.4 + 0.27 * len(shown), title, note)
    rows = _name_rows(axes, [_label(label) for label in shown.index])
    axes.barh(rows - 0.19, shown["before"], 0.34, color=OLD, label="before")
    bars = axes.barh(rows + 0.19, shown["after"], 0.34, color=NEW, label="after")
    axes.bar_label(bars, [_signed(change) for change in shown["after"] - shown["before"]], padding=4, size=8)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("images")
    _legend_above(axes)
    return figure


@_styled
def learning_curves(new_history: pd.DataFrame, old_history: pd.DataFrame | None = None) -> Figure:
    """Loss and accuracy of both models, epoch by epoch.

    Parameters
    ----------
    new_history, old_history : DataFrame
        A row per epoch, columns `epoch`, `loss`, `accuracy`, `held_out_loss` and `held_out_accuracy`.
        `old_history` is None where there is no old model.
    """
    histories = {"new": new_history} if old_history is None else {"old": old_history, "new": new_history}
    ends = {name: _percent(history["held_out_accuracy"].iloc[-1]) for name, history in histories.items()}
    title, note = f"Held-out accuracy ends at {ends['new']}", ""
    if "old" in ends:
        title += f", the old model's at {ends['old']}"
        note = "Each model on the images that were held out when it was trained."
    figure, panels = _panels(2, 3.4, title, note)
    for axes, column, heading in zip(panels, ("loss", "accuracy"), ("Cross-entropy (nats)", "Accuracy"), strict=True):
        for name, history in histories.items():
            epochs, held_out, training = (history[key] for key in ("epoch", f"held_out_{column}", column))
            axes.plot(epochs, held_out, ".-", color=COLOURS[name], label=f"{name}, held-out")
            axes.plot(epochs, training, ".:", color=COLOURS[name], label=f"{name}, training", lw=1)
        axes.set(title=heading, xlabel="epoch")
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    panels[0].set_ylim(bottom=0)
    panels[0].legend()
    panels[1].yaxis.set_major_formatter(PERCENT)
    return figure


@_styled
def confusion_matrices(scores: pd.DataFrame) -> Figure:
    """Confusion matrices of both models and their difference, of the scored images.

    The depth of a cell's colour is the square root of its share of the actual class: rare mistakes can be seen.

    Parameters
    ----------
    scores : DataFrame
        From `helpers.comparison.score_images`.
    """
    scored = scores[scores["scored"]]
    if scored.empty:
        return _sheet(NOTHING)
    pairs = {
        name: scored[["actual", f"{name}_predicted"]].set_axis(["actual", "predicted"], axis=1)
        for name in COLOURS
        if f"{name}_predicted" in scored
    }
    wrong = {name: pair[pair["actual"] != pair["predicted"]] for name, pair in pairs.items()}
    title = f"{_count(len(wrong['new']), 'mistake')} on {_count(len(scored), 'image')}"
    title += f", {len(wrong['old']):,} before" if "old" in wrong else ""
    if len(wrong["new"]):
        common = wrong["new"].value_counts()
        title += "; most often “{}” is taken for “{}” ({:,})".format(*map(_label, common.index[0]), common.iloc[0])

    classes = sorted(set(pd.concat(pairs.values()).stack()))
    mistakes = pd.concat(wrong.values()).stack().value_counts().reindex(classes, fill_value=0)
    order, note = sorted(mistakes.nlargest(MATRIX).index), ""
    others = f"{len(classes) - MATRIX} others"
    if len(classes) > MATRIX:
        note = f"The {MATRIX} of {len(classes)} classes with most mistakes; the others share one row and one column."
        order.append(others)
    tables, headings = {}, []
    for name, pair in pairs.items():
        folded = pair.where(pair.isin(order), others)
        counts = pd.crosstab(folded["actual"], folded["predicted"])
        tables[name] = counts.reindex(order, columns=order, fill_value=0).to_numpy()
        headings.append(f"{name.capitalize()}: {_count(len(wrong[name]), 'mistake')}")
    support = tables["new"].sum(axis=1, keepdims=True).clip(min=1)
    if "old" in tables:
        tables["difference"] = tables["new"] - tables["old"]
        headings.append("New minus old")

    labels, places = [_label(label, 16) for label in order], range(len(order))
    length = 0.08 * max(map(len, labels))  # inches
    turned = length > 2.4 / len(order)
    figure, panels = _panels(len(tables), 3.5 + length * turned, title, note, sharey=True)
    for axes, heading, (name, table) in zip(panels, headings, tables.items(), strict=True):
        share = table / support * (-1 if name == "old" else 1)
        depth = np.sign(share) * np.sqrt(np.abs(share))
        axes.imshow(depth, cmap=SHADES, vmin=-1, vmax=1)
        axes.set(title=heading, xlabel="predicted", anchor="W")
        axes.set_xticks(places, labels=labels, rotation=90 * turned)
        axes.tick_params(labelcolor=INK, labelsize=9 if len(order) <= 12 else 7)
        axes.spines[:].set(visible=True, color=PALE)
        for row, column in np.argwhere(table) if len(order) <= 12 else []:
            number = table[row, column]
            text = _signed(number) if name == "difference" else f"{number:,}"
            colour = "white" if depth[row, column] > 0.6 else INK
            axes.text(column, row, text, ha="center", va="center", size=10 - 0.3 * len(order), color=colour)
    panels[0].set_yticks(places, labels=labels)
    panels[0].set_ylabel("actual")
    return figure


@_styled
def per_class_change(per_class: pd.DataFrame) -> Figure:
    """Recall of each class, old and new, with 95 % intervals; the worst change comes first.

    Parameters
    ----------
    per_class : DataFrame
        From `helpers.comparison.per_class`.
    """
    change = per_class.get("recall_difference", pd.Series(dtype=float))
    known = change.dropna().sort_values(kind="stable")
    if known.empty:
        return _sheet(NOTHING)
    fallen = [f"“{_label(label)}”" for label in known.index[known < 0]]
    title = f"Recall rose for {(known > 0).sum()} of {len(known)} classes, fell for {len(fallen) or 'none'}"
    title += f" ({', '.join(fallen)})" if 0 < len(fallen) <= 3 else ""
    order, alone = known.index, change.index[change.isna()]
    note = "Lines: 95 % intervals. In brackets: number of images."
    if len(alone):
        note = f"Known to one model only: {len(alone)} of {len(change)} classes. {note}"
    if len(known) > ROWS:
        note = f"The {ROWS // 2} classes with the worst change and the {ROWS - ROWS // 2} with the best. {note}"
        order = known.index[np.r_[: ROWS // 2, ROWS // 2 - ROWS : 0]]

    shown = per_class.loc[order.append(alone[: ROWS - len(order)])]
    figure, (axes,) = _panels(1, 1.4 + 0.27 * len(shown), title, note)
    rows = _name_rows(axes, [f"{_label(label)}  ({images:,})" for label, images in shown["support"].items()])
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


@_styled
def difference(summary: pd.DataFrame, margin: float, control: Sequence[float] = ()) -> Figure:
    """The change of accuracy with its 95 % interval, population by population, against the margin.

    Parameters
    ----------
    summary : DataFrame
        From `helpers.comparison.summary`.
    margin : float
        Change that does not matter, as a share of images.
    control : sequence of float
        The same change for models trained on the old data with other seeds: what chance alone does.
    """
    if "difference" not in summary:
        return _sheet(NOTHING)
    accuracy = summary.xs("accuracy", level="metric")
    change, low, high = (100 * accuracy[column] for column in ("difference", "low", "high"))
    last = round(change.iloc[-1], 1)
    moved = f"{'rose' if last > 0 else 'fell'} by {abs(last):.1f} points" if last else "did not change"
    title = f"Accuracy {moved} (95 % interval {_signed(low.iloc[-1], 1)} to {_signed(high.iloc[-1], 1)})"
    names = [f"{name}\n{_count(images, 'image')}" for name, images in accuracy["images"].items()]
    names += ["old data,\nother seeds"] * (len(control) > 0)
    figure, (axes,) = _panels(1, 1.3 + 0.4 * len(names), title)
    rows = _name_rows(axes, names)[: len(change)]
    axes.axvspan(-100 * margin, 100 * margin, color=PALE, lw=0)
    axes.axvline(0, color=QUIET, lw=1)
    axes.hlines(rows, low, high, color=INK, lw=2)
    axes.scatter(change, rows, 45, color=INK, zorder=3)
    axes.scatter(100 * np.asarray(control), [len(change)] * len(control), 30, facecolor="none", edgecolor=INK)
    for row, value in enumerate(change):
        axes.text(value, row - 0.15, _signed(value, 1), ha="center", size=8)
    axes.text(0, -0.67, f"margin ±{100 * margin:g}", ha="center", size=8, color=QUIET)
    axes.set_xlabel("new minus old, percentage points")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+g}".replace("-", "−") if x else "0")
    return figure


@_styled
def calibration(scores: pd.DataFrame) -> Figure:
    """How often predictions are right, by how confident they are, with Wilson's 95 % intervals, of the scored images.

    Parameters
    ----------
    scores : DataFrame
        From `helpers.comparison.score_images`.
    """
    scored = scores[scores["scored"]]
    if scored.empty:
        return _sheet(NOTHING)
    models = [name for name in COLOURS if f"{name}_predicted" in scores]
    right = pd.DataFrame({name: scored[f"{name}_predicted"] == scored["actual"] for name in models})
    claimed = pd.DataFrame({name: scored[f"{name}_confidence"] for name in models})
    excess = 100 * (claimed.mean() - right.mean())
    verdict = {name: f"{'over' if e > 0 else 'under'}confident by {abs(e):.1f} points" for name, e in excess.items()}
    title = f"The new model is {verdict['new']}" + (f", the old one {verdict['old']}" if "old" in models else "")
    note = "On the diagonal, confidence and accuracy agree. Vertical lines: 95 % intervals. Area: number of images."
    figure, panels = _panels(len(models), 4.0, title, note, sharey=True)
    for axes, name in zip(panels, models, strict=True):
        tenths = np.ceil(10 * claimed[name])
        x, bins = claimed[name].groupby(tenths).mean(), right[name].groupby(tenths)
        hits, images = bins.sum(), bins.size()
        axes.plot([0, 1], [0, 1], color=QUIET, lw=1)
        axes.vlines(x, *wilson(hits, images), color=COLOURS[name])
        axes.scatter(x, hits / images, 20 + 200 * images / len(scored), color=COLOURS[name], zorder=3, clip_on=False)
        mean, accuracy = _percent(claimed[name].mean()), _percent(right[name].mean())
        axes.set_title(f"{name.capitalize()}: mean confidence {mean}, accuracy {accuracy}")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence of the prediction")
        axes.grid()
        axes.xaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_formatter(PERCENT)
    panels[0].set_ylabel("share that is right")
    return figure


@_styled
def pictures(files: Collection[str | Path], captions: Collection[str], title: str, most: int = 16) -> Figure:
    """Pictures with a caption under each.

    Parameters
    ----------
    files : list or Series of paths
    captions : list or Series of str
        One for each file.
    title : str
    most : int
        How many to show: the first ones. The title says how many it leaves out.
    """
    figure = _sheet(title + _left_out(files, most))
    texts = [[("", line) for line in _wrap(caption)] for caption in list(captions)[:most]]
    _put_pictures(figure, 0.0, list(files)[:most], texts, across=8)
    return figure


@_styled
def near_duplicates(pairs: pd.DataFrame, folder: Path, most: int = 8) -> Figure:
    """Held-out images, each followed by the training image that it nearly equals.

    Parameters
    ----------
    pairs : DataFrame
        From `helpers.duplicates.near_duplicates`.
    folder : Path
        Where the files are.
    most : int
        How many pairs to show.
    """
    verb = "equals" if len(pairs) == 1 else "equal"
    figure = _sheet(f"{_count(len(pairs), 'held-out image')} nearly {verb} a training image" + _left_out(pairs, most))
    files, texts = [], []
    for _, pair in pairs.head(most).iterrows():
        files += [folder / pair["file"], folder / pair["like"]]
        for role, label in (("held out", pair["label"]), ("trained on", pair["like_label"])):
            texts.append([("", role), ("", _label(label, 14))])
    _put_pictures(figure, 0.0, files, texts, across=8)
    return figure


@_styled
def flip_gallery(flips: pd.DataFrame, folder: Path, most: int = 24) -> Figure:
    """The images that one model gets right and the other wrong: true label, both predictions, both confidences.

    Parameters
    ----------
    flips : DataFrame
        From `helpers.comparison.flips`. The first ones of each kind are shown.
    folder : Path
        Where the files are.
    most : int
        How many pictures to show: half of them broken, unless there are fewer of a kind.
    """
    if flips.empty:
        return _sheet("There is no image that one model gets right and the other wrong")
    broken, fixed = (flips[flips["flip"] == kind] for kind in ("broken", "fixed"))
    title = f"The new model corrects {_count(len(fixed), 'mistake')} and makes {_count(len(broken), 'new one')}"
    figure, end = _sheet(title), 0.0
    axes = figure.axes[0]
    most_broken = min(len(broken), max(most // 2, most - len(fixed)))
    labels = flips[["actual", "old_predicted", "new_predicted"]].stack()
    across, room = (6, 14) if labels.str.len().max() <= 14 else (4, 24)
    for heading, kind, count in (
        ("Broken: the old model was right, the new one is wrong", broken, most_broken),
        ("Fixed: the old model was wrong, the new one is right", fixed, most - most_broken),
    ):
        if kind.empty:
            continue
        axes.text(EDGE, end + 0.15, heading + _left_out(kind, count))
        files, texts = [], []
        for _, flip in kind.head(count).iterrows():
            files.append(folder / flip["file"])
            texts.append([("", _label(flip["actual"], room))])
            for name, colour in COLOURS.items():
                label, confidence = _label(flip[f"{name}_predicted"], room), flip[f"{name}_confidence"]
                texts[-1].append((colour, f"{label} {100 * confidence:.0f} %"))
        end = _put_pictures(figure, end + 0.25, files, texts, across)
    for name, colour in COLOURS.items():
        axes.scatter([], [], marker="s", color=colour, label=f"{name} model's prediction and confidence")
    axes.legend(loc="upper right")
    return figure


def _panels(count: int, height: float, title: str, note: str = "", **options: Any) -> tuple[Figure, list[Axes]]:
    """Start a figure of charts side by side, with the finding above and a note below."""
    size = (WIDTH, height)
    figure, axes = plt.subplots(1, count, figsize=size, dpi=DPI, layout="constrained", squeeze=False, **options)
    figure.get_layout_engine().set(h_pad=0.08, w_pad=0.06)
    figure.suptitle(_title(title), x=0.008, ha="left", size=12)
    if note:
        figure.supxlabel(textwrap.fill(note, 125), x=0.01, ha="left", size=8, color=QUIET)
    return figure, list(axes[0])


def _name_rows(axes: Axes, names: Sequence[str]) -> np.ndarray:
    """Make a chart with a row for each name, from top to bottom; gives their y."""
    rows = np.arange(len(names))
    axes.set_yticks(rows, labels=names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    return rows


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0.2, borderaxespad=0)


def _sheet(title: str) -> Figure:
    """Start a figure laid out by hand: x of its axes is inches from the left, y inches below the title."""
    title = _title(title)
    header = 0.25 + 0.2 * len(title.splitlines())
    figure = plt.figure(figsize=(WIDTH, header), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, -header), autoscale_on=False)
    axes.axis("off")
    axes.text(EDGE, 0.1 - header, title, size=12, va="top")
    return figure


def _put_pictures(
    figure: Figure, top: float, files: Sequence[str | Path], texts: Sequence[list[tuple[str, str]]], across: int
) -> float:
    """Put rows of pictures on a sheet, under each its lines of text: colour of the mark, if any, and words."""
    axes = figure.axes[0]
    row = PICTURE + 0.2 + LINE * max(map(len, texts), default=0)
    for number, (file, lines) in enumerate(zip(files, texts, strict=True)):
        left, upper = EDGE + round(WIDTH / across, 2) * (number % across), top + row * (number // across)
        _put_picture(axes, left, upper, file)
        for place, (colour, line) in enumerate(lines, start=1):
            baseline = upper + PICTURE + LINE * place
            if colour:
                axes.text(left, baseline, "■", color=colour, size=8)
            axes.text(left + 0.13 * bool(colour), baseline, line, size=8)
    end, header = top + row * ceil(len(files) / across), -axes.get_ylim()[1]
    axes.set_ylim(end, -header)
    figure.set_figheight(header + end)
    return end


def _put_picture(axes: Axes, left: float, top: float, file: str | Path) -> None:
    axes.add_patch(Rectangle((left, top), PICTURE, PICTURE, fill=False, edgecolor=PALE))
    try:
        with open_image(file) as image:
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((PICTURE * DPI, PICTURE * DPI), reducing_gap=2.0)
            pixels = np.asarray(upright.convert("RGBA"))
    except UNREADABLE:
        axes.text(left + PICTURE / 2, top + PICTURE / 2, "cannot\nbe read", ha="center", va="center", color=QUIET)
        return
    pixels = (pixels // 8 * (255 / 31)).astype(np.uint8)  # 32 levels: half the bytes, the same to the eye
    height, width = np.array(pixels.shape[:2]) * PICTURE / max(pixels.shape[:2])
    x, y = left + (PICTURE - width) / 2, top + (PICTURE - height) / 2
    axes.imshow(pixels, extent=(x, x + width, y + height, y), aspect="auto", interpolation="nearest")


def _label(value: object, longest: int = 22) -> str:
    """Make text drawable: what no font has as an escape, without its middle where it is too long."""
    text = "".join(c if _drawable(c) else c.encode("unicode_escape").decode() for c in str(value))
    longest = _room(text, longest)
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-((longest - 1) // 2) :]}"


def _title(text: str) -> str:
    return textwrap.fill(_label(text, 300), 92)


def _wrap(caption: str) -> list[str]:
    text = _label(caption, 45)
    return textwrap.wrap(text, _room(text, 16))


def _room(text: str, letters: int) -> int:
    """How many characters of a text fit where so many Latin letters do: Chinese ones are twice as wide."""
    return letters // 2 if any(east_asian_width(c) in "WF" for c in text) else letters


@cache
def _drawable(character: str) -> bool:
    fonts = map(font_manager.get_font, map(font_manager.findfont, STYLE["font.family"]))
    return character.isprintable() and any(font.get_char_index(ord(character)) for font in fonts)


def _left_out(items: Collection[Any] | pd.DataFrame, most: int) -> str:
    return f" ({len(items) - most:,} more are not shown)" if len(items) > most else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(number: float, digits: int = 0) -> str:
    return f"{number:+z,.{digits}f}".replace("-", "−") if number else "0"
