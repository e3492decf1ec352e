"""HTML for a notebook and its page: only such as JupyterLab shows of a notebook that was not run here."""

import html
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import pandas as pd
from IPython.display import display

from helpers.problems import Problem

WRAP = "display:flex; flex-wrap:wrap"
QUIET = "opacity:0.75; font-size:0.9em"  # inherits the page's colour, light or dark


@dataclass(frozen=True)
class Shown:
    """An output of a notebook: HTML, and plain text where HTML cannot be shown."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def show(make: Callable[[], object]) -> None:
    """Show what `make` returns, if anything; where it fails, say so in its place, and go on.

    Pictures and links of a round say nothing about its model, so that none of them may stop its end.
    """
    try:
        made = make()
    except Exception as error:  # of any library that reads or draws
        text = f"This cannot be shown, but the round goes on: {error if isinstance(error, Problem) else repr(error)}"
        made = Shown(f'<pre style="white-space:pre-wrap">{escape(text)}</pre>', text)
    if made is not None:
        display(made)


def escape(text: object) -> str:
    """Make text from outside harmless; a name may hold lone surrogates."""
    return html.escape(str(text).encode("utf-8", "backslashreplace").decode())


def prose(text: str) -> str:
    """Make a sentence harmless, and set the words between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def image_tag(kind: str, content: bytes, alternative: str, style: str) -> str:
    """Put a picture of a media type ``image/<kind>`` into the page itself."""
    data = b64encode(content).decode()
    return f'<img alt="{escape(alternative)}" style="{style}" src="data:image/{kind};base64,{data}">'


def scroll(wide: str) -> str:
    """Let HTML that a phone has no room for scroll in its own box, also by keyboard."""
    return f'<div tabindex="0" style="overflow-x:auto">{wide}</div>'


def table(frame: pd.DataFrame) -> Shown:
    """Show a table of text; its index names the rows, and a name that several rows share stands once."""
    head = "".join(_cell(name, 'th scope="col"') for name in [*frame.index.names, *frame.columns])
    names = [name if isinstance(name, tuple) else (name,) for name in frame.index]
    cells = frame.astype("string").fillna("").to_numpy()
    body = ""
    for shared, group in groupby(zip(names, cells, strict=True), key=lambda row: row[0][:-1]):
        rows = [_cell(name[-1], 'th scope="row"') + "".join(map(_cell, row)) for name, row in group]
        rows[0] = "".join(_cell(name, f'th scope="rowgroup" rowspan="{len(rows)}"') for name in shared) + rows[0]
        body += "".join(f"<tr>{row}</tr>" for row in rows)
    return Shown(scroll(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"), repr(frame))


def _cell(text: object, tag: str = "td") -> str:
    wrap = "normal" if len(str(text)) > 20 else "nowrap"
    return f'<{tag} style="text-align:left; vertical-align:top; white-space:{wrap}">{escape(text)}</{tag[:2]}>'
