"""Reading exports: each label is what people agreed on, in every format, and everything else says why it is none."""

import csv
import io
import json
import random
from collections.abc import Container
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.labels import ON_DISAGREEMENT, describe_annotators, read_export
from helpers.problems import Problem

SHARED = Path(__file__).parents[3] / "shared"
GENUINE = sorted(path.name for path in (SHARED / "exports").glob("[0-9]*"))
COLUMNS = ["image", "file", "label", "status", "reason", "tasks", "annotators", "labels"]
COLUMNS += ["updated_at", "lead_time", "by_model"]
needs_shared = pytest.mark.skipif(not GENUINE, reason="needs the genuine exports in ../shared")

FORMATS = ("JSON", "JSON-MIN", "CSV", "TSV")
in_all_formats = pytest.mark.parametrize("form", FORMATS)
in_minimal_formats = pytest.mark.parametrize("form", FORMATS[1:])
UPLOAD = "/data/upload/7/0a1b2c3d-{}.jpg"

Task = dict[str, Any]


def annotation(*picks: str, by: Any = 1, at: str = "2026-01-05T09:00:00Z", seconds: float | None = 2.0, **more) -> Task:
    """An annotation of the full JSON export; `picks` are what was chosen in the control `choice`."""
    result = [{"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": list(picks)}}]
    about = {"completed_by": by, "updated_at": at, "lead_time": seconds, "was_cancelled": False, **more}
    return {"result": result if picks else [], "created_at": "2026-01-05T08:00:00Z", "parent_prediction": None} | about


def also(entry: Task, control: str, **value: object) -> Task:
    """The same annotation with a further control filled in."""
    return entry | {"result": [*entry["result"], {"from_name": control, "to_name": "image", "value": value}]}


def task(image: str | None, *annotations: Task, **data: object) -> Task:
    """A task of the full JSON export."""
    return {"data": {"image": image, **data}, "annotations": list(annotations)}


def minimal(tasks: list[Task], *, as_csv: bool = False) -> list[dict[str, Any]]:
    """Do to tasks what Label Studio's converter does for JSON-MIN, or for a CSV."""
    kept = [entry for task in tasks for entry in task["annotations"] if not entry["was_cancelled"]]
    controls = {result["from_name"] for entry in kept for result in entry["result"]}
    rows: list[dict[str, Any]] = []
    for number, task in enumerate(tasks, start=1):
        entries = [entry for entry in task["annotations"] if not entry["was_cancelled"]]
        for entry in entries if task["annotations"] else [{}]:
            row = {f"_data_{key}" if as_csv and key in controls else key: text for key, text in task["data"].items()}
            row["id"] = task.get("id", number)
            answers: dict[str, list[Any]] = {}
            for result in entry.get("result", ()):
                texts = next(iter(result["value"].values()))
                single = isinstance(texts, list) and len(texts) == 1
                answers.setdefault(result["from_name"], []).append(texts[0] if single else result["value"])
            row |= {name: values[0] if len(values) == 1 else values for name, values in answers.items()}
            row["annotator"] = entry.get("completed_by")
            row["annotation_id"] = len(rows) + 1 if entry else None
            rows.append(row | {key: entry.get(key) for key in ("created_at", "updated_at", "lead_time")})
    return rows


def write(path: Path, tasks: list[Task], form: str) -> Path:
    """Write an export the way Label Studio does."""
    if form == "JSON":
        numbered = [{"id": number} | task for number, task in enumerate(tasks, start=1)]
        path.write_text(json.dumps(numbered))
    elif form == "JSON-MIN":
        rows = ",\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in minimal(tasks))
        path.write_text(f"[\n{rows.replace('/', chr(92) + '/')}\n]", "utf-8")
    else:
        records = minimal(tasks, as_csv=True)
        header = sorted({"annotator", "annotation_id", "created_at", "updated_at", "lead_time"}.union(*records))
        text = io.StringIO(newline="")
        marks = {"CSV": ",", "TSV": "\t"}
        writer = csv.DictWriter(text, header, quoting=csv.QUOTE_NONNUMERIC, delimiter=marks[form])
        writer.writeheader()
        flat = [{key: json.dumps(x) if isinstance(x, dict | list) else x for key, x in row.items()} for row in records]
        writer.writerows(flat)
        path.write_text(text.getvalue(), "utf-8", newline="")
    return path


@pytest.fixture
def read(tmp_path):
    """Write tasks as an export and read it."""

    def read(*tasks: Task, form: str = "JSON", **options: str) -> pd.DataFrame:
        return read_export(write(tmp_path / "export", list(tasks), form), **options)

    return read


# Genuine exports


@needs_shared
@pytest.mark.parametrize("name", GENUINE)
def test_a_genuine_export_is_read_as_people_meant_it(name):
    export, form = name.split(".")[:2]
    expected = {row["image"]: row for row in json.loads((SHARED / "exports/expected.json").read_text())[export]}
    several_controls = "choice" if export.startswith("10-") else ""
    table = read_export(SHARED / "exports" / name, label_control=several_controls)
    unseen = {image for image, row in expected.items() if form != "JSON" and row["why_no_label"] == "skipped"}
    assert sorted(table["image"]) == sorted(set(expected) - unseen)
    for row in table.to_dict("records"):
        image = row["image"]
        assert (row["label"], row["reason"]) == (expected[image]["label"], expected[image]["why_no_label"])
        assert (row["status"] == "labelled") == (row["label"] is not None)
        assert row["file"].rpartition("/")[2] == expected[image]["stored_name"]


@needs_shared
@pytest.mark.parametrize("form", ["JSON.json", "JSON_MIN.json", "CSV.csv"])
@pytest.mark.parametrize("name", ["round1", "round2"])
def test_a_labelling_round_has_the_labels_that_count(name, form):
    table = read_export(SHARED / "planets/exports" / f"{name}.{form}")
    truth = json.loads((SHARED / "planets/exports/truth.json").read_text())[name]
    labels = {file.partition("-")[2]: label for file, label in zip(table["file"], table["label"], strict=True)}
    assert {file: labels.get(file) for file in truth} == {file: row["label"] for file, row in truth.items()}


@needs_shared
def test_several_controls_of_a_genuine_export_have_to_be_told_apart():
    for path in (SHARED / "exports").glob("10-several-controls.*"):
        with pytest.raises(Problem, match=r"(?s)choice.*sharpness.*Set label_control"):
            read_export(path)


# One image, one label


@in_all_formats
def test_each_image_has_one_class_or_a_reason(read, form):
    table = read(
        task(UPLOAD.format("plain"), annotation("Mars")),
        task(UPLOAD.format("agreed"), annotation("Moon", by=1), annotation("Moon", by=2)),
        task(UPLOAD.format("disputed"), annotation("Moon", by=1), annotation("Mars", by=2)),
        task(UPLOAD.format("both"), annotation("Moon", "Mars"), annotation("Mars", "Moon")),
        task(UPLOAD.format("partly"), annotation("Moon", "Mars"), annotation("Mars")),
        task(UPLOAD.format("empty"), annotation()),
        task(UPLOAD.format("half"), annotation(), annotation("Venus", by=2), annotation("Sun", was_cancelled=True)),
        task(UPLOAD.format("nobody")),
        form=form,
    )
    assert table.columns.tolist() == COLUMNS
    assert table[["file", "label", "status", "reason"]].to_numpy().tolist() == [
        ["0a1b2c3d-plain.jpg", "Mars", "labelled", None],
        ["0a1b2c3d-agreed.jpg", "Moon", "labelled", None],
        ["0a1b2c3d-disputed.jpg", None, "conflict", "annotations disagree: Mars | Moon"],
        ["0a1b2c3d-both.jpg", None, "several labels", "several classes on one image: Mars, Moon"],
        ["0a1b2c3d-partly.jpg", None, "conflict", "annotations disagree: Mars | Mars, Moon"],
        ["0a1b2c3d-empty.jpg", None, "unlabelled", "submitted without a choice"],
        ["0a1b2c3d-half.jpg", "Venus", "labelled", None],
        ["0a1b2c3d-nobody.jpg", None, "unlabelled", "not annotated"],
    ]
    assert table["tasks"].tolist() == [(number,) for number in range(1, 9)]
    assert table["annotators"].tolist()[1:3] == [("1", "2"), ("1", "2")]
    assert table["annotators"].tolist()[6:] == [("2",), ()]


def test_a_task_that_was_only_skipped_is_known_to_be_so(read):
    table = read(task(UPLOAD.format("a"), annotation("Mars", was_cancelled=True)))
    assert table[["label", "status", "reason"]].to_numpy().tolist() == [[None, "skipped", "skipped"]]


@in_all_formats
def test_labels_are_kept_to_the_letter(read, form):
    labels = [" Mars ", "..", "7", "Süd/Saturn", "a\tb", 'say "x", y', "{not json", "line\nbreak", "None", "nan", "1e5"]
    tasks = [task(UPLOAD.format(number), annotation(label)) for number, label in enumerate(labels)]
    assert read(*tasks, form=form)["label"].tolist() == labels


@in_all_formats
def test_an_image_that_was_imported_twice_is_one_image(read, form):
    mars, moon = "s3://bucket/mars.jpg", "s3://bucket/moon.jpg"
    table = read(
        task(mars, annotation("Mars")),
        task(moon, annotation("Moon")),
        task(mars, annotation("Mars")),
        task(moon, annotation("Earth")),
        task(moon),
        form=form,
    )
    assert table["image"].tolist() == [mars, moon]
    assert table["label"].tolist() == ["Mars", None]
    assert table["tasks"].tolist() == [(1, 3), (2, 4)]


@in_all_formats
def test_times_are_those_of_the_annotations_that_count(read, form):
    table = read(
        task(
            UPLOAD.format("a"),
            annotation("Mars", at="2026-01-05T12:00:00.5Z", seconds=1.5),
            annotation("Mars", at="2026-01-05T14:00:00+03:00", seconds=2.5, by=2),
            annotation(at="2026-01-09T12:00:00Z", seconds=100.0),
        ),
        task(UPLOAD.format("b")),
        form=form,
    )
    assert table["updated_at"].tolist() == [pd.Timestamp("2026-01-05T12:00:00.5Z"), pd.NaT]
    assert table["lead_time"][0] == 4.0
    assert pd.isna(table["lead_time"][1])


@in_all_formats
def test_labels_that_the_model_made_in_bulk_are_marked(read, form):
    bulk: dict[str, Any] = {"seconds": None, "parent_prediction": 3}
    table = read(
        task(UPLOAD.format("bulk"), annotation("Mars", **bulk)),
        task(UPLOAD.format("looked-at"), annotation("Mars", parent_prediction=3)),
        task(UPLOAD.format("confirmed"), annotation("Mars", **bulk), annotation("Mars", by=2)),
        task(UPLOAD.format("refuted"), annotation("Mars", **bulk), annotation("Moon", by=2)),
        task(UPLOAD.format("two-models"), annotation("Mars", **bulk), annotation("Moon", **bulk)),
        form=form,
    )
    assert table["by_model"].tolist() == [True, False, False, False, False]


def test_annotators_of_a_snapshot_are_people_with_addresses(read):
    ann, bob = {"id": 4, "email": "ann@example.org"}, {"id": 5, "first_name": "Bob"}
    table = read(task(UPLOAD.format("a"), annotation("Mars", by=ann), annotation("Mars", by=bob)))
    assert table["annotators"].tolist() == [("ann@example.org", "5")]


@in_minimal_formats
def test_annotators_may_be_addresses_in_all_formats(read, form):
    table = read(task(UPLOAD.format("a"), annotation("Mars", by="ann@example.org")), form=form)
    assert table["annotators"].tolist() == [("ann@example.org",)]


@in_all_formats
def test_tasks_without_an_image_are_shown_not_labelled(read, form):
    table = read(
        task(None, annotation("Mars")),
        task(UPLOAD.format("a"), annotation("Mars")),
        task(None, annotation()),
        form=form,
    )
    assert table[["image", "label", "reason"]].to_numpy().tolist() == [
        ["", None, "the task has no image"],
        [UPLOAD.format("a"), "Mars", None],
    ]
    assert table["tasks"][0] == (1, 3)


# Disagreement

MONDAY, TUESDAY, FRIDAY = (f"2026-01-0{day}T09:00:00Z" for day in (5, 6, 9))
VOTES = [
    task(UPLOAD.format("outvoted"), *(annotation(label, at=FRIDAY) for label in ("Mars", "Moon", "Mars"))),
    task(UPLOAD.format("tied"), *(annotation(label, at=FRIDAY) for label in ("Mars", "Moon"))),
    task(UPLOAD.format("corrected"), annotation("Sun", at=TUESDAY), annotation("Mars", at=FRIDAY), annotation("Sun")),
    task(UPLOAD.format("widened"), annotation("Sun", at=MONDAY), annotation("Sun", "Moon", at=TUESDAY)),
    task(UPLOAD.format("undated"), annotation("Sun", at=MONDAY), annotation("Moon", at="yesterday")),
    task(UPLOAD.format("undated-but-agreed"), annotation("Sun", at=MONDAY), annotation("Sun", at="yesterday")),
]


@in_all_formats
@pytest.mark.parametrize(
    ("on_disagreement", "labels"),
    [
        ("leave out", [None, None, None, None, None, "Sun"]),
        ("majority", ["Mars", None, "Sun", None, None, "Sun"]),
        ("latest", [None, None, "Mars", None, None, "Sun"]),
    ],
)
def test_who_decides_where_annotations_disagree(read, form, on_disagreement, labels):
    table = read(*VOTES, form=form, on_disagreement=on_disagreement)
    assert table["label"].tolist() == labels
    assert table["status"][3] == ("several labels" if on_disagreement == "latest" else "conflict")


def test_an_unknown_way_to_decide_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(Problem, match=r"on_disagreement.*vote"):
        read_export(tmp_path / "missing", on_disagreement="vote")


@in_all_formats
def test_agreement_counts_images_that_both_labelled(read, form):
    table = read(
        task(UPLOAD.format("a"), annotation("Mars", by="ann"), annotation("Mars", by="bob")),
        task(UPLOAD.format("b"), annotation("Mars", by="bob"), annotation("Moon", by="ann")),
        task(
            UPLOAD.format("c"), annotation("Mars", by="ann"), annotation("Mars", by="bob"), annotation("Mars", by="eve")
        ),
        task(
            UPLOAD.format("d"), annotation("Mars", by="ann"), annotation("Mars", by="bob"), annotation("Sun", by="bob")
        ),
        task(UPLOAD.format("e"), annotation("Sun", by="ann"), annotation(by="bob")),
        task(UPLOAD.format("f"), annotation("Sun", by="ann")),
        form=form,
    )
    people = describe_annotators(table)
    assert people["shared"].to_dict() == {"ann": 4, "bob": 4, "eve": 1}
    # On a: yes. On b: no. On c: with both others. On d: bob chose two classes.
    assert people["agreed"].to_dict() == {"ann": 3 / 5, "bob": 3 / 5, "eve": 1.0}


def test_nobody_agrees_where_nobody_shared_an_image(read):
    people = describe_annotators(read(task(UPLOAD.format("a"), annotation("Mars", by="ann"))))
    assert people["shared"].to_dict() == {"ann": 0}
    assert people["agreed"].isna().all()


def test_lead_times_are_those_of_images_that_one_person_labelled(read):
    table = read(
        task(UPLOAD.format("a"), annotation("Mars", by="ann", seconds=2.0)),
        task(UPLOAD.format("b"), annotation("Moon", by="ann", seconds=9.0)),
        task(UPLOAD.format("c"), annotation("Moon", by="ann", seconds=4.0), annotation("Moon", by="bob", seconds=1.0)),
        task(UPLOAD.format("d"), annotation("Moon", by="bob", seconds=None)),
        task(UPLOAD.format("e")),
    )
    seconds = describe_annotators(table)["seconds"]
    assert seconds.dropna().to_dict() == {"ann": 5.5}
    assert seconds.index.tolist() == ["ann", "bob", "nobody"]


def test_each_image_counts_by_its_status_for_everyone_who_annotated_it(read):
    table = read(
        task(UPLOAD.format("a"), annotation("Mars", by="zoe"), annotation("Mars", by="zoe")),
        task(UPLOAD.format("b"), annotation("Mars", by="zoe"), annotation("Moon", by="ann")),
        task(UPLOAD.format("c"), annotation("Mars", by="ann", was_cancelled=True)),
        task(UPLOAD.format("d")),
    )
    counts = describe_annotators(table).drop(columns=["seconds", "shared", "agreed"])
    assert counts.to_dict("index") == {
        "ann": {"labelled": 0, "conflict": 1, "unlabelled": 0, "skipped": 1},
        "zoe": {"labelled": 1, "conflict": 1, "unlabelled": 0, "skipped": 0},
        "nobody": {"labelled": 0, "conflict": 0, "unlabelled": 1, "skipped": 0},
    }


# The file that an image reference stands for


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("/data/upload/3/15a36192-100.jpg", "15a36192-100.jpg"),
        ("/ls/data/upload/3/15a36192-deadbeef-mars.JPG", "15a36192-deadbeef-mars.JPG"),
        ("/data/upload/15a36192-100.jpg#a/b", "15a36192-100.jpg"),
        ("https://host/ls/data/upload/3/86988673-%E6%9C%A8%E6%98%9F.jpg?x=/y", "86988673-木星.jpg"),
        ("/data/local-files/?d=round%202/a%23b/mars%20rover.jpg", "round 2/a#b/mars rover.jpg"),
        ("http://host/data/local-files/?d=c/img.jpg", "c/img.jpg"),
        ("s3://bucket/train/mars%20rover.jpg", "train/mars rover.jpg"),
        ("gs://bucket/train/mars rover #1.jpg", "train/mars rover #1.jpg"),
        ("azure-blob://container/c/img.jpg", "c/img.jpg"),
        ("https://example.org/a/b/img.jpg?X-Amz-Signature=a/b#frag", "a/b/img.jpg"),
        ("https://example.org/img.jpg#a/b", "img.jpg"),
        ("data:image/png;base64,iVBORw0KGgo/AAAA==", ""),
    ],
)
@in_all_formats
def test_the_file_of_an_image(read, form, image, file):
    table = read(task(image, annotation("Mars")), form=form)
    assert table[["image", "file"]].to_numpy().tolist() == [[image, file]]


def test_a_picture_inside_a_csv_may_be_large(read):
    image = "data:image/png;base64," + "A" * 300_000
    assert read(task(image, annotation("Mars")), form="CSV")["image"].tolist() == [image]


# Which field is the image, which the label


@in_all_formats
def test_the_image_is_found_by_what_it_looks_like(read, form):
    fields = [
        {"photo": f"/data/local-files/?d={day}.jpg", "page": "https://a.b/c", "notes": "dark"} for day in range(4)
    ]
    fields[1]["notes"] = "https://a.b/like-this-one.jpg"
    tasks = [{"data": data, "annotations": [annotation("Mars")]} for data in fields]
    table = read(*tasks, form=form, label_control="choice")
    assert table["image"].tolist() == [f"/data/local-files/?d={day}.jpg" for day in range(4)]


@in_all_formats
def test_two_fields_with_images_are_told_apart_by_the_user(read, form):
    pair = task("https://a.org/left.jpg", annotation("Mars"), right="https://a.org/right.jpg")
    with pytest.raises(Problem, match=r"(?s)image.*right.*Set image_key"):
        read(pair, form=form)
    assert read(pair, form=form, image_key="right", label_control="choice")["file"].tolist() == ["right.jpg"]
    with pytest.raises(Problem, match=r"(?s)no 'middle'.*image.*right.*Set image_key"):
        read(pair, form=form, image_key="middle")


@in_all_formats
def test_an_export_without_images_lists_its_fields(read, form):
    with pytest.raises(Problem, match=r"(?s)holds images.*image.*Set image_key"):
        read(task("no image at all", annotation("Mars"), sound="a.wav"), form=form)


@in_all_formats
def test_files_that_were_uploaded_before_the_configuration_count(read, form):
    undefined = {"data": {"$undefined$": UPLOAD.format("early")}, "annotations": [annotation("Mars")]}
    later = task(UPLOAD.format("later"), annotation("Moon"))
    for tasks, files in (([undefined], ["early"]), ([undefined, undefined, undefined, later], ["early", "later"])):
        assert read(*tasks, form=form)["image"].tolist() == [UPLOAD.format(name) for name in files]


@in_all_formats
def test_a_field_of_the_task_is_not_taken_for_the_label(read, form):
    tasks = [
        task(UPLOAD.format("a"), annotation("Mars"), camera="left"),
        task(UPLOAD.format("b"), annotation(), camera="left"),
        task(UPLOAD.format("c"), camera="right"),
    ]
    assert read(*tasks, form=form)["label"].tolist() == ["Mars", None, None]


def test_json_min_shows_what_is_data_by_its_place(read):
    tasks = [task(UPLOAD.format(name), annotation("Mars"), camera="left", site="Sun") for name in "ab"]
    assert read(*tasks, form="JSON-MIN")["label"].tolist() == ["Mars", "Mars"]


@in_all_formats
def test_several_controls_are_told_apart_by_the_user(read, form):
    both = also(annotation("Mars"), "quality", choices=["good"])
    tasks = [task(UPLOAD.format(name), also(both, "stars", rating=4)) for name in "ab"]
    tasks.append(task(UPLOAD.format("c"), annotation("Moon")))
    with pytest.raises(Problem, match=r"(?s)label_control.*choice.*quality"):
        read(*tasks, form=form)
    assert read(*tasks, form=form, label_control="quality")["label"].tolist() == ["good", "good", None]
    with pytest.raises(Problem, match=r"(?s)no 'planet'.*choice.*quality.*Set label_control"):
        read(*tasks, form=form, label_control="planet")


REGIONS: dict[str, dict[str, object]] = {
    "box": {"x": 10.0, "y": 10.0, "width": 5.0, "height": 5.0, "rotation": 0},
    "polygon": {"points": [[1.0, 1.0], [2.0, 2.0], [1.0, 2.0]], "closed": True},
    "brush": {"format": "rle", "rle": [0, 1, 2]},
    "key point": {"x": 10.0, "y": 10.0, "width": 0.5},
}
in_all_regions = pytest.mark.parametrize("place", REGIONS.values(), ids=list(REGIONS))


@in_all_regions
def test_a_choice_of_a_region_is_no_label_of_the_image(read, place):
    tasks = [
        task(UPLOAD.format("both"), also(annotation("Mars"), "damage", choices=["dent"], **place)),
        task(UPLOAD.format("region"), also(annotation(), "damage", choices=["dent"], **place)),
        # The project had perRegion="true" for a while.
        task(UPLOAD.format("same"), also(annotation("Moon"), "choice", choices=["Sun"], **place)),
    ]
    table = read(*tasks)
    assert table["label"].tolist() == ["Mars", None, "Moon"]
    assert table["reason"][1] == "submitted without a choice"
    with pytest.raises(Problem, match=r"(?s)regions.*damage: 2 choices.*perRegion.*label_control"):
        read(*tasks, label_control="damage")


@in_all_regions
@pytest.mark.parametrize("label_control", ["", "damage", "choice"])
def test_an_export_whose_choices_all_belong_to_regions_is_refused(read, place, label_control):
    tasks = [task(UPLOAD.format(name), also(annotation(), "damage", choices=["dent"], **place)) for name in "ab"]
    with pytest.raises(Problem, match=r"(?s)regions.*damage: 2 choices.*perRegion"):
        read(*tasks, label_control=label_control)


@in_minimal_formats
@pytest.mark.parametrize("label_control", ["", "choice"])
def test_only_regions_have_one_choice_several_times(read, form, label_control):
    one = also(annotation(), "choice", choices=["dent"], **REGIONS["box"])
    two = also(one, "choice", choices=["dent"], **REGIONS["box"])
    tasks = [task(UPLOAD.format("a"), one), task(UPLOAD.format("b"), two)]
    with pytest.raises(Problem, match=r"(?s)1 annotations.*choice.*task 2.*dent.*Export as JSON"):
        read(*tasks, form=form, label_control=label_control)


@in_all_formats
def test_a_named_control_may_still_be_empty(read, form):
    assert read(task(UPLOAD.format("a")), form=form, label_control="choice")["reason"].tolist() == ["not annotated"]


@pytest.mark.parametrize("form", ["JSON", "CSV", "TSV"])
def test_data_with_the_name_of_the_control_is_no_label(read, form):
    tasks = [
        task(UPLOAD.format("a"), annotation("Mars"), choice="Sun"),
        task(UPLOAD.format("b"), annotation(), choice="Sun"),
        task(UPLOAD.format("c"), choice="Sun"),
    ]
    for kept in (tasks, tasks[:2]):
        assert read(*kept, form=form)["label"].tolist() == ["Mars", None, None][: len(kept)]


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
    with pytest.raises(Problem, match=r"(?s)choice: in \d annotations.*'Mars'.*JSON.*CSV.*label_control"):
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


def test_json_min_that_has_the_data_only_where_nobody_annotated_is_clear(read):
    tasks = [task(UPLOAD.format("a"), annotation("Mars")), task(UPLOAD.format("b"), choice="Sun")]
    assert read(*tasks, form="JSON-MIN")["label"].tolist() == ["Mars", None]


def test_json_min_may_have_been_sorted_by_another_program(tmp_path):
    rows = minimal([task(UPLOAD.format("a"), annotation("Mars")), task(UPLOAD.format("b"), annotation())])
    (tmp_path / "export").write_text(json.dumps(rows, sort_keys=True))
    assert read_export(tmp_path / "export")["label"].tolist() == ["Mars", None]


def test_choices_of_a_control_without_a_schema_are_read(tmp_path):
    row = minimal([task(UPLOAD.format("a"), annotation("Mars"))])[0] | {"choice": [{"choices": ["Mars"]}]}
    (tmp_path / "export").write_text(json.dumps([row]))
    assert read_export(tmp_path / "export")["label"].tolist() == ["Mars"]


# The file itself


@in_all_formats
def test_the_format_is_known_by_content_not_by_name(tmp_path, form):
    for name in ("a.csv", "a.json", "a"):
        path = write(tmp_path / name, [task(UPLOAD.format("a"), annotation("Mars"))], form)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert read_export(path)["label"].tolist() == ["Mars"]


@pytest.mark.parametrize(
    "content", ["[]", "[\n\n]", '"annotation_id","annotator","created_at","lead_time","updated_at"\r\n']
)
def test_an_export_without_tasks_is_an_empty_table(tmp_path, read, content):
    (tmp_path / "empty").write_text(content)
    table = read_export(tmp_path / "empty")
    assert len(table) == 0
    assert table.dtypes.to_dict() == read(task(UPLOAD.format("a"), annotation("Mars"))).dtypes.to_dict()
    assert len(describe_annotators(table)) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n", "is empty"),
        (b'[{"image": "/data/upload/1/a.jpg", "ann', "damaged, cut off"),
        (b"[" * 100_000, "damaged, cut off"),
        (b'annotation_id,choice,image\n1,Mars,"a.j', "damaged, cut off"),
        (b"annotation_id,choice,image\n1,Mars", "line 2 has 2 cells instead of 3"),
        (b"annotation_id,choice,image\n1,Mars,a.jpg,b.jpg\n", "line 2 has 4 cells instead of 3"),
        (b"annotation_id,choice,choice,image\n1,Mars,Moon,a.jpg\n", "two columns have the same name"),
        (b"name;size\nmars.jpg;3\n", "neither JSON nor a table with a column annotation_id"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "codec can.t decode"),
        ('"annotation_id"'.encode("utf-16"), "codec can.t decode"),
        (
            b'{"images": [], "annotations": [], "categories": []}',
            "an object with 'images', 'annotations', 'categories'",
        ),
        (b'[{"annotation_id": 1}, 7, {"id": 3}]', r"(?s)2 entries.*entry 2: 7.*entry 3: \{'id': 3\}"),
        (b'[{"data": {}, "annotations": [5]}]', "entry 1"),
    ],
)
def test_what_is_no_export_is_refused_in_one_message(tmp_path, content, message):
    (tmp_path / "export.json").write_bytes(content)
    with pytest.raises(Problem, match=message) as caught:
        read_export(tmp_path / "export.json")
    assert "export.json" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(Problem, match=str(path)):
            read_export(path)


# Whatever comes


LABELS = ["Mars", "Moon", "Mars, Moon", "7"]
MIXED = [
    *VOTES,
    task(UPLOAD.format("a"), annotation("Mars"), annotation("Moon", was_cancelled=True), camera="left"),
    task("s3://bucket/b.jpg", annotation("Mars, Moon"), annotation("Mars", "Moon")),
    task("s3://bucket/b.jpg", annotation("Mars, Moon", by="ann@example.org")),
    task(None, annotation("7")),
    task(UPLOAD.format("c")),
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(["choices", "id", "x"]), children)
    ),
    max_leaves=4,
)
quickly = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


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
    describe_annotators(table)


@quickly
@in_all_formats
@given(data=st.data())
def test_a_truncated_export_is_read_or_refused(tmp_path, form, data):
    path = write(tmp_path / "export", MIXED, form)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    read_or_refuse(path, texts_in(MIXED))


@quickly
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


@quickly
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


@quickly
@in_all_formats
@given(seed=st.integers(0, 999), on_disagreement=st.sampled_from(ON_DISAGREEMENT))
def test_the_order_of_rows_decides_nothing(tmp_path, form, seed, on_disagreement):
    def read(tasks: list[Task]) -> list[list[object]]:
        path = write(tmp_path / "export", tasks, form)
        table = read_export(path, on_disagreement=on_disagreement, label_control="choice")
        decided = table[["image", "label", "status", "reason", "updated_at", "by_model"]].astype(object)
        return sorted(decided.fillna("").to_numpy().tolist())

    chance = random.Random(seed)
    shuffled = [one | {"annotations": chance.sample(one["annotations"], len(one["annotations"]))} for one in MIXED]
    assert read(chance.sample(shuffled, len(shuffled))) == read(MIXED)
