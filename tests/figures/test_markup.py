"""Tables that a screen reader can read, without markup from outside; and what stands where something fails."""

import re

import pandas as pd
import pytest

from helpers.figures import markup
from helpers.figures.markup import show, table
from helpers.problems import Problem


def test_headings_name_columns_and_rows_and_a_shared_name_stands_once():
    index = pd.MultiIndex.from_tuples([("frozen", "a"), ("frozen", "b"), ("new", "a")], names=["Images", "Figure"])
    html = table(pd.DataFrame({"Old": ["1", None, "<b>"]}, index)).html
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html) == ["Images", "Figure", "Old"]
    assert html.count(">frozen</th>") == 1
    assert 'scope="rowgroup" rowspan="2"' in html
    assert html.count('<th scope="row"') == 3
    assert "<b>" not in html
    assert "None" not in html


def test_a_table_without_rows_is_its_headings():
    assert table(pd.DataFrame({"Old": []}).rename_axis("Model")).html.count("<th ") == 2


@pytest.fixture
def displayed(monkeypatch) -> list[object]:
    """All that is shown."""
    seen: list[object] = []
    monkeypatch.setattr(markup, "display", seen.append)
    return seen


@pytest.mark.parametrize("error", [Problem("Plots failed.", ["bad <b>template</b>"]), KeyError("<b>loss</b>")])
def test_what_fails_says_so_in_its_place_and_stops_nothing(displayed, error):
    def fail() -> object:
        raise error

    for make in (lambda: "a chart", fail, lambda: None, lambda: "a link"):
        show(make)
    first, failure, last = displayed
    assert (first, last) == ("a chart", "a link")
    assert str(error) in repr(failure)
    assert "<b>" not in failure._repr_html_()
    assert "Traceback" not in repr(failure)
