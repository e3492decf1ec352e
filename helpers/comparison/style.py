"""The one style of all figures: colours, sizes, words."""

import textwrap
from collections.abc import Callable, Collection
from functools import cache, wraps
from typing import Any, ParamSpec
from unicodedata import east_asian_width

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib import font_manager
from matplotlib.figure import Figure

COLOURS = {"old": "#E69F00", "new": "#0072B2"}  # Okabe and Ito: told apart with any colour vision, and in grey
OLD, NEW = COLOURS.values()
INK, QUIET, PALE = "#222222", "#707070", "#E4E4E4"
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
WIDTH, EDGE = 9.0, 0.1  # inches: a page, and its edge
P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
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


def sheet(title: str) -> Figure:
    """Start a figure laid out by hand: x of its axes is inches from the left, y inches below the title."""
    title = title_text(title)
    header = 0.25 + 0.2 * len(title.splitlines())
    figure = plt.figure(figsize=(WIDTH, header), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, -header), autoscale_on=False)
    axes.axis("off")
    axes.text(EDGE, 0.1 - header, title, size=12, va="top")
    return figure


def label_text(value: object, longest: int = 22) -> str:
    """Make text drawable: what no font has as an escape, without its middle where it is too long."""
    text = "".join(c if _drawable(c) else c.encode("unicode_escape").decode() for c in str(value))
    longest = room_for(text, longest)
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-((longest - 1) // 2) :]}"


def title_text(text: str) -> str:
    return textwrap.fill(label_text(text, 300), 92)


def room_for(text: str, letters: int) -> int:
    """How many characters of a text fit where so many Latin letters do: Chinese ones are twice as wide."""
    return letters // 2 if any(east_asian_width(c) in "WF" for c in text) else letters


@cache
def _drawable(character: str) -> bool:
    fonts = map(font_manager.get_font, map(font_manager.findfont, STYLE["font.family"]))
    return character.isprintable() and any(font.get_char_index(ord(character)) for font in fonts)


def left_out(items: Collection[Any] | pd.DataFrame, most: int) -> str:
    return f" ({len(items) - most:,} more are not shown)" if len(items) > most else ""


def count_of(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
