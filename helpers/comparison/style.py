"""The style of all figures: colours, sizes, and text that every font can draw."""

import textwrap
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec
from unicodedata import east_asian_width

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.figure import Figure

COLOURS = {"old": "#E69F00", "new": "#0072B2"}  # Okabe and Ito: told apart with any colour vision, and in grey
OLD, NEW = COLOURS.values()
INK, QUIET, PALE = "#222222", "#707070", "#E4E4E4"
# The fonts after the first have Chinese, Arabic and many more scripts, on macOS, Linux and Windows.
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
WIDTH = 9.0  # inches: a page
P = ParamSpec("P")


def styled(draw: Callable[P, Figure | None]) -> Callable[P, Any]:
    """Draw in `STYLE`, independent of the notebook's own settings, and leave these unchanged."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure | None:
        plt.draw_if_interactive()  # loads a notebook's backend; inside the style its settings would be lost
        with plt.style.context(["default", STYLE]):
            figure = draw(*args, **kwargs)
            if figure and (layout := figure.get_layout_engine()):  # here, because ticks take the current style
                layout.execute(figure)
                layout.execute(figure)  # square panels need a second pass
                figure.set_layout_engine("none")
        if figure:
            plt.close(figure)  # else a notebook shows it a second time
        return figure

    return styled


def label_text(value: object, letters: int = 22) -> str:
    """Make text drawable: write characters that no font has as escapes, and keep both ends of a long text.

    The result is at most as wide as `letters` Latin letters; Chinese ones count double.
    """
    text = "".join(c if _drawable(c) else c.encode("unicode_escape").decode() for c in str(value))
    letters = room_for(text, letters)
    return text if len(text) <= letters else f"{text[: letters // 2]}…{text[-((letters - 1) // 2) :]}"


def title_text(text: str) -> str:
    return textwrap.fill(label_text(text, 300), 92)


def room_for(text: str, letters: int) -> int:
    return letters // 2 if any(east_asian_width(c) in "WF" for c in text) else letters


@cache
def _drawable(character: str) -> bool:
    fonts = map(font_manager.get_font, map(font_manager.findfont, STYLE["font.family"]))
    return character.isprintable() and any(font.get_char_index(ord(character)) for font in fonts)
