"""The style of all charts: colours, sizes, and text that the fonts can draw."""

import io
from functools import cache
from typing import Any
from unicodedata import east_asian_width

from IPython.display import display
from matplotlib import font_manager, style
from matplotlib.figure import Figure

from helpers.figures.markup import Shown, render

COLOURS = {"old": "#E69F00", "new": "#0072B2"}  # Okabe and Ito: told apart with any colour vision, and in grey
OLD, NEW = COLOURS.values()
INK = "#222222"  # on a colour
QUIET, PALE = "#7A7A7A", "#88888833"  # on the page, whether it is light or dark: text, and lines and areas
# The fonts after the first have Chinese, Arabic and many more scripts, on macOS, Linux and Windows.
FONTS = ["DejaVu Sans", "Arial Unicode MS", "Noto Sans CJK JP", "Droid Sans Fallback", "Microsoft YaHei"]
STYLE: dict[str, Any] = {
    "figure.facecolor": "none",
    "font.family": [name for name in FONTS if name in font_manager.get_font_names()],
    "font.size": 9,
    "text.color": QUIET,
    "text.parse_math": False,  # a label may hold dollar signs
    "axes.edgecolor": QUIET,
    "axes.facecolor": "none",
    "axes.labelcolor": QUIET,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "svg.hashsalt": "the same drawing has the same bytes",
}
# Decorates functions that draw in `STYLE`, whatever the notebook's own settings are, and leave these unchanged.
styled: Any = style.context(["default", STYLE])


class Chart(Figure):
    """A figure that is shown as a drawing, below its finding, which is its alternative text too, and above a note."""

    finding = note = ""

    def _ipython_display_(self) -> None:
        """Come before the bitmap that IPython would make."""
        display(self.shown())

    @styled  # ticks are made only now
    def savefig(self, *args: Any, **kwargs: Any) -> None:
        if layout := self.get_layout_engine():
            layout.execute(self)
            layout.execute(self)  # square panels need a second pass
            self.set_layout_engine(None)  # then a chart that is shown again has the same bytes, and is drawn once
        super().savefig(*args, **kwargs)

    def shown(self) -> Shown:
        drawing = io.BytesIO()
        self.savefig(drawing, format="svg", metadata={"Date": None})
        return Shown(render("chart", chart=self, drawing=drawing.getvalue()), self.finding)


def label_text(value: object, letters: int = 22) -> str:
    """Make text drawable: write characters that no font has as escapes, and `shorten` it."""
    return shorten("".join(c if _drawable(c) else c.encode("unicode_escape").decode() for c in str(value)), letters)


def shorten(text: str, letters: int = 22) -> str:
    """Keep both ends of a text, at most as wide as so many Latin letters; Chinese ones count double."""
    letters = letters // 2 if any(east_asian_width(c) in "WF" for c in text) else letters
    return text if len(text) <= letters else f"{text[: letters // 2]}…{text[-((letters - 1) // 2) :]}"


@cache
def _drawable(character: str) -> bool:
    fonts = map(font_manager.get_font, map(font_manager.findfont, STYLE["font.family"]))
    return character.isprintable() and any(font.get_char_index(ord(character)) for font in fonts)
