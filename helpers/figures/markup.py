"""HTML from templates for a notebook and its page: only such as JupyterLab shows of one that was not run here."""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pandas as pd
from IPython.display import display
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from helpers.problems import Problem


@dataclass(frozen=True)
class Shown:
    """An output of a notebook: HTML, and plain text where HTML cannot be shown."""

    html: Markup
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
        made = Shown(render("failure", text=text), text)
    if made is not None:
        display(made)


def render(template: str, **values: object) -> Markup:
    """Fill in a template of the folder `templates`, which makes all text harmless that is not `Markup`."""
    page = TEMPLATES.get_template(f"{template}.html.j2").render(values)
    return Markup(page.encode("utf-8", "backslashreplace").decode())  # a name may hold lone surrogates


def _read(name: str) -> str:
    """Read a template, whose lines follow each other without a space."""
    return re.sub(r"\n *", "", (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8"))


def _prose(text: str) -> Markup:
    """Set the words between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _data_url(content: bytes, kind: str) -> str:
    """Put a picture of a media type ``image/<kind>`` into the page itself."""
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


TEMPLATES = Environment(loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined)
TEMPLATES.filters |= {"prose": _prose, "data_url": _data_url}


def table(frame: pd.DataFrame) -> Shown:
    """Show a table of text; its index names the rows, and a name that several rows share stands once."""
    names = [name if isinstance(name, tuple) else (name,) for name in frame.index]
    rows = zip(names, frame.astype("string").fillna("").to_numpy(), strict=True)
    groups = [(shared, list(group)) for shared, group in groupby(rows, key=lambda row: row[0][:-1])]
    return Shown(render("table", headings=[*frame.index.names, *frame.columns], groups=groups), repr(frame))
