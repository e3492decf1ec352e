"""Figures of pictures, one per function. A function returns None if there is no picture to show."""

import textwrap
from collections.abc import Collection, Sequence
from math import ceil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.comparison.style import COLOURS, DPI, PALE, QUIET, WIDTH, label_text, room_for, styled, title_text
from helpers.comparison.words import count_of, left_out
from helpers.decode import UNREADABLE, read_upright

EDGE, PICTURE, LINE = 0.1, 0.84, 0.15  # inches: the page's edge, a picture, a line of small text
Captioned = tuple[str | Path, list[tuple[str, str]]]  # a picture; each line below it, after the colour of its mark


@styled
def gallery(files: Collection[str | Path], captions: Collection[str], title: str, most: int = 16) -> Figure | None:
    """Show the first pictures, each above its caption; the title counts those that are left out."""
    if not len(files):
        return None
    pictures: list[Captioned] = []
    for file, caption in list(zip(files, captions, strict=True))[:most]:
        text = label_text(caption, 45)
        pictures.append((file, [("", line) for line in textwrap.wrap(text, room_for(text, 16))]))
    figure = _sheet(title + left_out(files, most))
    _put_pictures(figure, 0.0, pictures, across=8)
    return figure


@styled
def near_duplicates(pairs: pd.DataFrame, folder: Path, most: int = 8) -> Figure | None:
    """Show each held-out image beside the training image that it nearly equals; `folder` holds the files."""
    if pairs.empty:
        return None
    pictures: list[Captioned] = []
    for _, pair in pairs.head(most).iterrows():
        pictures.append((folder / pair["file"], [("", "held out"), ("", label_text(pair["label"], 14))]))
        pictures.append((folder / pair["like"], [("", "trained on"), ("", label_text(pair["like_label"], 14))]))
    verb = "equals" if len(pairs) == 1 else "equal"
    figure = _sheet(f"{count_of(len(pairs), 'held-out image')} nearly {verb} a training image" + left_out(pairs, most))
    _put_pictures(figure, 0.0, pictures, across=8)
    return figure


@styled
def flip_gallery(flips: pd.DataFrame, folder: Path, most: int = 24) -> Figure | None:
    """Show the images that exactly one model gets right: true label, both predictions, both confidences.

    Half of the `most` pictures are broken, unless there are too few of a kind; the first ones of each kind are shown.
    """
    if flips.empty:
        return None
    broken, fixed = (flips[flips["flip"] == kind] for kind in ("broken", "fixed"))
    title = f"The new model corrects {count_of(len(fixed), 'mistake')} and makes {count_of(len(broken), 'new one')}"
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
        axes.text(EDGE, end + 0.15, heading + left_out(kind, count))
        pictures: list[Captioned] = []
        for _, flip in kind.head(count).iterrows():
            lines = [("", label_text(flip["actual"], room))]
            for name, colour in COLOURS.items():
                label, confidence = label_text(flip[f"{name}_predicted"], room), flip[f"{name}_confidence"]
                lines.append((colour, f"{label} ({100 * confidence:.0f} %)"))
            pictures.append((folder / flip["file"], lines))
        end = _put_pictures(figure, end + 0.25, pictures, across)
    for name, colour in COLOURS.items():
        axes.scatter([], [], marker="s", color=colour, label=f"{name} model's prediction and confidence")
    axes.legend(loc="upper right")
    return figure


def read_thumbnail(file: str | Path, size: int) -> Image.Image | None:
    """Read a picture in RGB, scaled to fit into a square of `size` pixels; None if it cannot be read."""
    try:
        picture = read_upright(file, size)
        picture.thumbnail((size, size), reducing_gap=2.0)
        return picture.convert("RGB")
    except UNREADABLE:
        return None


def _sheet(title: str) -> Figure:
    """Start a figure laid out by hand: x counts inches from the left, y inches down from below the title."""
    title = title_text(title)
    header = 0.25 + 0.2 * len(title.splitlines())
    figure = plt.figure(figsize=(WIDTH, header), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, -header), autoscale_on=False)
    axes.axis("off")
    axes.text(EDGE, 0.1 - header, title, size=12, va="top")
    return figure


def _put_pictures(figure: Figure, top: float, pictures: Sequence[Captioned], across: int) -> float:
    """Put rows of pictures on a sheet, and return the y of their end."""
    axes = figure.axes[0]
    row = PICTURE + 0.2 + LINE * max((len(lines) for _, lines in pictures), default=0)
    for number, (file, lines) in enumerate(pictures):
        left, upper = EDGE + round(WIDTH / across, 2) * (number % across), top + row * (number // across)
        _put_picture(axes, left, upper, file)
        for place, (colour, line) in enumerate(lines, start=1):
            baseline = upper + PICTURE + LINE * place
            if colour:
                axes.text(left, baseline, "■", color=colour, size=8)
            axes.text(left + 0.13 * bool(colour), baseline, line, size=8)
    end, header = top + row * ceil(len(pictures) / across), -axes.get_ylim()[1]
    axes.set_ylim(end, -header)
    figure.set_figheight(header + end)
    return end


def _put_picture(axes: Axes, left: float, top: float, file: str | Path) -> None:
    axes.add_patch(Rectangle((left, top), PICTURE, PICTURE, fill=False, edgecolor=PALE))
    picture = read_thumbnail(file, round(PICTURE * DPI))
    if picture is None:
        axes.text(left + PICTURE / 2, top + PICTURE / 2, "cannot\nbe read", ha="center", va="center", color=QUIET)
        return
    pixels = (np.asarray(picture) // 8 * (255 / 31)).astype(np.uint8)  # 32 levels: half the bytes, the same to the eye
    height, width = np.array(pixels.shape[:2]) * PICTURE / max(pixels.shape[:2])
    x, y = left + (PICTURE - width) / 2, top + (PICTURE - height) / 2
    axes.imshow(pixels, extent=(x, x + width, y + height, y), aspect="auto", interpolation="nearest")
