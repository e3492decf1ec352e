"""Which choices of an export are labels of whole images: not those of regions, nor the tasks' own data."""

import json

import pytest
from exports import UPLOAD, also, annotation, in_all_formats, in_minimal_formats, minimal, read, task

from helpers.labels import read_export
from helpers.problems import Problem

REGIONS: dict[str, dict[str, object]] = {
    "box": {"x": 10.0, "y": 10.0, "width": 5.0, "height": 5.0, "rotation": 0},
    "polygon": {"points": [[1.0, 1.0], [2.0, 2.0], [1.0, 2.0]], "closed": True},
    "brush": {"format": "rle", "rle": [0, 1, 2]},
    "key point": {"x": 10.0, "y": 10.0, "width": 0.5},
}
in_all_regions = pytest.mark.parametrize("place", REGIONS.values(), ids=list(REGIONS))


OTHERS: dict[str, dict[str, object]] = {
    "taxonomy": {"taxonomy": [["animal", "dog"]]},
    "boxes": {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 0, "rectanglelabels": ["dog"]},
    "stars": {"rating": 4},
}


@in_all_formats
@pytest.mark.parametrize("label_control", ["", "kind"])
@pytest.mark.parametrize("value", OTHERS.values(), ids=list(OTHERS))
def test_an_export_without_choices_names_the_controls_that_it_has(tmp_path, form, label_control, value):
    tasks = [task(UPLOAD.format(name), also(annotation(), "kind", **value)) for name in "ab"]
    with pytest.raises(Problem, match=r"(?s)only choices are read.*<Choices>.*kind"):
        read(tmp_path, *tasks, form=form, label_control=label_control)


@in_all_formats
def test_a_project_with_other_controls_beside_its_choices_is_read(tmp_path, form):
    tasks = [task(UPLOAD.format("a"), also(annotation("Mars"), "kind", **value)) for value in OTHERS.values()]
    assert read(tmp_path, *tasks, form=form)["label"].tolist() == ["Mars"]


@in_all_formats
def test_a_nested_choice_is_read_as_its_path_or_as_its_leaf(tmp_path, form):
    tasks = [
        task(UPLOAD.format("a"), annotation(["animal", "dog"])),
        task(UPLOAD.format("b"), annotation(["animal", "cat", "tabby"])),
        task(UPLOAD.format("c"), annotation(["other"])),
        task(UPLOAD.format("d"), annotation(["other"], ["animal", "dog"])),
        task(UPLOAD.format("e"), annotation(["animal", "dog"]), annotation(["animal", "cat"])),
        task(UPLOAD.format("f")),
    ]
    table = read(tmp_path, *tasks, form=form)
    assert table["label"].tolist() == ["animal / dog", "animal / cat / tabby", "other", None, None, None]
    assert table["reason"][3] == "several classes on one image: animal / dog, other"
    assert table["reason"][4] == "annotations disagree: animal / cat | animal / dog"
    leaves = read(tmp_path, *tasks, form=form, nested_choices="leaf")
    assert leaves["label"].tolist() == ["dog", "tabby", "other", None, None, None]
    with pytest.raises(Problem, match=r"nested_choices.*'root'"):
        read(tmp_path, *tasks, form=form, nested_choices="root")


@in_minimal_formats
def test_several_choices_of_regions_are_not_taken_for_a_nested_one(tmp_path, form):
    one = also(annotation(), "choice", choices=["dent"], **REGIONS["box"])
    two = also(one, "choice", choices=["scratch"], **REGIONS["box"])
    table = read(tmp_path, task(UPLOAD.format("a"), one), task(UPLOAD.format("b"), two), form=form)
    assert table["status"].tolist() == ["labelled", "several labels"]


@in_all_regions
def test_a_choice_of_a_region_is_no_label_of_the_image(tmp_path, place):
    tasks = [
        task(UPLOAD.format("both"), also(annotation("Mars"), "damage", choices=["dent"], **place)),
        task(UPLOAD.format("region"), also(annotation(), "damage", choices=["dent"], **place)),
        # The project had perRegion="true" for a while.
        task(UPLOAD.format("same"), also(annotation("Moon"), "choice", choices=["Sun"], **place)),
    ]
    table = read(tmp_path, *tasks)
    assert table["label"].tolist() == ["Mars", None, "Moon"]
    assert table["reason"][1] == "submitted without a choice"
    with pytest.raises(Problem, match=r"(?s)regions.*perRegion.*label_control.*damage: 2 choices"):
        read(tmp_path, *tasks, label_control="damage")


@in_all_regions
@pytest.mark.parametrize("label_control", ["", "damage", "choice"])
def test_an_export_whose_choices_all_belong_to_regions_is_refused(tmp_path, place, label_control):
    tasks = [task(UPLOAD.format(name), also(annotation(), "damage", choices=["dent"], **place)) for name in "ab"]
    with pytest.raises(Problem, match=r"(?s)regions.*perRegion.*damage: 2 choices"):
        read(tmp_path, *tasks, label_control=label_control)


@in_minimal_formats
@pytest.mark.parametrize("label_control", ["", "choice"])
def test_only_regions_have_one_choice_several_times(tmp_path, form, label_control):
    one = also(annotation(), "choice", choices=["dent"], **REGIONS["box"])
    two = also(one, "choice", choices=["dent"], **REGIONS["box"])
    tasks = [task(UPLOAD.format("a"), one), task(UPLOAD.format("b"), two)]
    with pytest.raises(Problem, match=r"(?s)1 annotations.*choice.*Export as JSON.*task 2.*dent"):
        read(tmp_path, *tasks, form=form, label_control=label_control)


@pytest.mark.parametrize("form", ["JSON", "CSV", "TSV"])
def test_data_with_the_name_of_the_control_is_no_label(tmp_path, form):
    tasks = [
        task(UPLOAD.format("a"), annotation("Mars"), choice="Sun"),
        task(UPLOAD.format("b"), annotation(), choice="Sun"),
        task(UPLOAD.format("c"), choice="Sun"),
    ]
    for kept in (tasks, tasks[:2]):
        assert read(tmp_path, *kept, form=form)["label"].tolist() == ["Mars", None, None][: len(kept)]


def test_json_min_shows_what_is_data_by_its_place(tmp_path):
    tasks = [task(UPLOAD.format(name), annotation("Mars"), camera="left", site="Sun") for name in "ab"]
    assert read(tmp_path, *tasks, form="JSON-MIN")["label"].tolist() == ["Mars", "Mars"]


OVERWRITTEN = [
    task(UPLOAD.format("a"), annotation("Mars"), choice="Sun"),
    task(UPLOAD.format("b"), annotation("Moon"), choice="Sun"),
]


@pytest.mark.parametrize("more", [{}, {"agreement": 1.0}])
@pytest.mark.parametrize(
    "others", [[], [task(UPLOAD.format("c"), choice="Sun")], [task(UPLOAD.format("c"), annotation("Mars"))]]
)
def test_json_min_does_not_tell_a_label_from_data_of_the_same_name(tmp_path, others, more):
    path = tmp_path / "export"
    path.write_text(json.dumps([row | more for row in minimal([*OVERWRITTEN, *others])]))
    with pytest.raises(Problem, match=r"(?s)JSON.*CSV.*label_control.*choice: in \d annotations.*'Mars'"):
        read_export(path)
    assert read_export(path, label_control="choice")["label"].tolist()[:2] == ["Mars", "Moon"]


@pytest.mark.parametrize("by", ["an id in the data", "another program"])
def test_unannotated_tasks_show_that_a_field_is_data_also_where_its_place_does_not(tmp_path, by):
    rows = minimal([*OVERWRITTEN, task(UPLOAD.format("c"), choice="Sun")])
    rows = [{"id": None} | row if by == "an id in the data" else dict(sorted(row.items())) for row in rows]
    (tmp_path / "export").write_text(json.dumps(rows))
    with pytest.raises(Problem, match="choice: in 2 annotations"):
        read_export(tmp_path / "export")
    table = read_export(tmp_path / "export", label_control="choice")
    assert table["label"].tolist() == ["Mars", "Moon", None]
    assert table["reason"][2] == "not annotated"


def test_json_min_that_has_the_data_only_where_nobody_annotated_is_clear(tmp_path):
    tasks = [task(UPLOAD.format("a"), annotation("Mars")), task(UPLOAD.format("b"), choice="Sun")]
    assert read(tmp_path, *tasks, form="JSON-MIN")["label"].tolist() == ["Mars", None]


def test_json_min_may_have_been_sorted_by_another_program(tmp_path):
    rows = minimal([task(UPLOAD.format("a"), annotation("Mars")), task(UPLOAD.format("b"), annotation())])
    (tmp_path / "export").write_text(json.dumps(rows, sort_keys=True))
    assert read_export(tmp_path / "export")["label"].tolist() == ["Mars", None]


def test_choices_of_a_control_without_a_schema_are_read(tmp_path):
    row = minimal([task(UPLOAD.format("a"), annotation("Mars"))])[0] | {"choice": [{"choices": ["Mars"]}]}
    (tmp_path / "export").write_text(json.dumps([row]))
    assert read_export(tmp_path / "export")["label"].tolist() == ["Mars"]
