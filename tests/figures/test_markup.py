"""Tables that a screen reader can read, without markup from outside."""

import re

import pandas as pd

from helpers.figures.markup import table


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
