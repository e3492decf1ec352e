"""An export is known by its content; a damaged one is read as a whole or refused."""

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest
from exports import COLUMNS, MIXED, UPLOAD, annotation, in_all_formats, in_one_folder, read, task, write
from hypothesis import given
from hypothesis import strategies as st

from helpers.labels import read_export
from helpers.problems import Problem

HEADER = b"annotation_id,annotator,created_at,updated_at,lead_time"


@in_all_formats
def test_the_format_is_known_by_content_not_by_name(tmp_path, form):
    for name in ("a.csv", "a.json", "a"):
        path = write(tmp_path / name, [task(UPLOAD.format("a"), annotation("Mars"))], form)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert read_export(path)["label"].tolist() == ["Mars"]


def test_a_picture_inside_a_csv_may_be_large(tmp_path):
    image = "data:image/png;base64," + "A" * 300_000
    assert read(tmp_path, task(image, annotation("Mars")), form="CSV")["image"].tolist() == [image]


@pytest.mark.parametrize(
    "content", ["[]", "[\n\n]", '"annotation_id","annotator","created_at","lead_time","updated_at"\r\n']
)
def test_an_export_without_tasks_is_an_empty_table(tmp_path, content):
    (tmp_path / "empty").write_text(content)
    table = read_export(tmp_path / "empty")
    assert len(table) == 0
    assert table.dtypes.to_dict() == read(tmp_path, task(UPLOAD.format("a"), annotation("Mars"))).dtypes.to_dict()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n", "is empty"),
        (b'[{"image": "/data/upload/1/a.jpg", "ann', "damaged, cut off"),
        (b"[" * 100_000, "damaged, cut off"),
        (rb'[{"data": {"image": "a.jpg", "by": "\ud800"}, "annotations": []}]', "half of a surrogate pair"),
        (HEADER + b',choice,image\n1,2,3,4,5,Mars,"a.j', "damaged, cut off"),
        (HEADER + b",choice,image\n1,2,3,4,5,Mars", "line 2 has 6 cells instead of 7"),
        (HEADER + b",choice,image\n1,2,3,4,5,Mars,a.jpg,b.jpg\n", "line 2 has 8 cells instead of 7"),
        (HEADER + b",choice,choice,image\n1,2,3,4,5,Mars,Moon,a.jpg\n", "two columns have the same name"),
        (b"name;size\nmars.jpg;3\n", "neither JSON nor a table with the columns annotator, annotation_id"),
        (b"annotation_id,image_id,category\n1,7,Mars\n", "neither JSON nor a table with the columns annotator"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "codec can.t decode"),
        ('"annotation_id"'.encode("utf-16"), "codec can.t decode"),
        (
            b'{"images": [], "annotations": [], "categories": []}',
            "an object with 'images', 'annotations', 'categories'",
        ),
        (b'[{"data": {}, "annotations": []}, 7, {"id": 3}]', r"(?s)2 entries.*entry 2: 7.*entry 3: \{'id': 3\}"),
        (b'[{"annotation_id": 1, "image_id": 7, "category": "Mars"}]', "(?s)1 entries.*entry 1: .*Mars"),
        (b'[{"data": {}, "annotations": [5]}]', "entry 1"),
    ],
)
def test_what_is_no_export_is_refused_in_one_message(tmp_path, content, message):
    (tmp_path / "export.json").write_bytes(content)
    with pytest.raises(Problem, match=message) as caught:
        read_export(tmp_path / "export.json")
    assert "export.json" in str(caught.value)


def test_a_single_task_may_be_an_object(tmp_path):
    path = write(tmp_path / "export", [task(UPLOAD.format("a"), annotation("Mars"))], "JSON")
    path.write_text(json.dumps(json.loads(path.read_text())[0]))
    assert read_export(path)["label"].tolist() == ["Mars"]


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(Problem, match=str(path)):
            read_export(path)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(["choices", "id", "x"]), children)
    ),
    max_leaves=4,
)


def texts_in(value: object) -> set[str]:
    """Every text in what was read from JSON."""
    if isinstance(value, dict | list):
        return set().union(*map(texts_in, value.values() if isinstance(value, dict) else value))
    return {value} if isinstance(value, str) else set()


def read_or_refuse(path: Path, texts: Container[str]) -> None:
    """The only two outcomes: a whole table whose labels are in the export, or a message."""
    try:
        table = read_export(path, label_control="choice", image_key="image")
    except Problem:
        return
    assert table.columns.tolist() == COLUMNS
    assert all(label in texts for label in table["label"].dropna())
    assert (table["label"].notna() == (table["status"] == "labelled")).all()
    assert (table["reason"].notna() == table["label"].isna()).all()


@in_one_folder
@in_all_formats
@given(data=st.data())
def test_a_truncated_export_is_read_or_refused(tmp_path, form, data):
    path = write(tmp_path / "export", MIXED, form)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    read_or_refuse(path, texts_in(MIXED))


@in_one_folder
@in_all_formats
@given(data=st.data())
def test_an_export_with_damaged_bytes_is_read_or_refused(tmp_path, form, data):
    path = write(tmp_path / "export", MIXED, form)
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=9)) + content[end:])
    damaged = path.read_bytes().decode(errors="replace")
    try:
        texts: Container[str] = texts_in(json.loads(damaged))
    except ValueError:
        texts = damaged.replace('""', '"')
    read_or_refuse(path, texts)


@in_one_folder
@pytest.mark.parametrize("form", ["JSON", "JSON-MIN"])
@given(data=st.data())
def test_an_export_with_other_values_is_read_or_refused(tmp_path, form, data):
    path = write(tmp_path / "export", MIXED, form)
    export = json.loads(path.read_text())
    for _ in range(data.draw(st.integers(1, 4))):
        place: Any = export
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
                place[key] = data.draw(anything)
                break
            place = place[key]
    path.write_text(json.dumps(export))
    read_or_refuse(path, texts_in(export))
