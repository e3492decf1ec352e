"""Each label is what people agreed on, in every format, and every other image says why it has none."""

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exports import (
    COLUMNS,
    MIXED,
    UPLOAD,
    VOTES,
    Task,
    annotation,
    in_all_formats,
    in_minimal_formats,
    in_one_folder,
    read,
    task,
    write,
)
from hypothesis import given
from hypothesis import strategies as st

from helpers.labels import ON_DISAGREEMENT, read_export
from helpers.problems import Problem

SHARED = Path(__file__).parents[3] / "shared"
GENUINE = sorted(path.name for path in (SHARED / "exports").glob("[0-9]*"))
needs_shared = pytest.mark.skipif(not GENUINE, reason="needs the genuine exports in ../shared")


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
        with pytest.raises(Problem, match=r"(?s)Set label_control.*choice.*sharpness"):
            read_export(path)


@in_all_formats
def test_each_image_has_one_class_or_a_reason(tmp_path, form):
    table = read(
        tmp_path,
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


def test_a_task_that_was_only_skipped_is_known_to_be_so(tmp_path):
    table = read(tmp_path, task(UPLOAD.format("a"), annotation("Mars", was_cancelled=True)))
    assert table[["label", "status", "reason"]].to_numpy().tolist() == [[None, "skipped", "skipped"]]


@in_all_formats
def test_labels_are_kept_to_the_letter(tmp_path, form):
    labels = [" Mars ", "..", "7", "Süd/Saturn", "a\tb", 'say "x", y', "{not json", "line\nbreak", "None", "nan", "1e5"]
    tasks = [task(UPLOAD.format(number), annotation(label)) for number, label in enumerate(labels)]
    assert read(tmp_path, *tasks, form=form)["label"].tolist() == labels


@in_all_formats
def test_an_image_that_was_imported_twice_is_one_image(tmp_path, form):
    mars, moon = "s3://bucket/mars.jpg", "s3://bucket/moon.jpg"
    table = read(
        tmp_path,
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
def test_times_are_those_of_the_annotations_that_count(tmp_path, form):
    table = read(
        tmp_path,
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
def test_labels_that_the_model_made_in_bulk_are_marked(tmp_path, form):
    bulk: dict[str, Any] = {"seconds": None, "parent_prediction": 3}
    table = read(
        tmp_path,
        task(UPLOAD.format("bulk"), annotation("Mars", **bulk)),
        task(UPLOAD.format("looked-at"), annotation("Mars", parent_prediction=3)),
        task(UPLOAD.format("confirmed"), annotation("Mars", **bulk), annotation("Mars", by=2)),
        task(UPLOAD.format("refuted"), annotation("Mars", **bulk), annotation("Moon", by=2)),
        task(UPLOAD.format("two-models"), annotation("Mars", **bulk), annotation("Moon", **bulk)),
        form=form,
    )
    assert table["by_model"].tolist() == [True, False, False, False, False]


@in_all_formats
def test_fields_of_the_tasks_data_are_kept_where_all_annotations_agree(tmp_path, form):
    table = read(
        tmp_path,
        task(UPLOAD.format("blind"), annotation("Mars"), blind=True, queue=0.25, queued_by="35a9"),
        task(UPLOAD.format("seen"), annotation("Mars"), blind=False, queue=0.75, queued_by="35a9"),
        task(UPLOAD.format("by-hand"), annotation("Mars")),
        task(UPLOAD.format("both"), annotation("Mars"), blind=True, queue=0.5, queued_by="35a9"),
        task(UPLOAD.format("both"), annotation("Mars"), blind=False, queue=0.5, queued_by="35a9"),
        form=form,
        keep=["blind"],
    )
    told = [value if value is None else str(value).lower() for value in table["blind"]]  # a CSV has text
    assert told == ["true", "false", None, None]
    assert table["label"].tolist() == ["Mars"] * 4


def test_a_field_to_keep_must_not_have_the_name_of_a_column_and_may_be_named_twice(tmp_path):
    tasks = [task(UPLOAD.format("a"), annotation("Mars"), site="north")]
    assert read(tmp_path, *tasks, keep=["site", "site"])["site"].tolist() == ["north"]
    with pytest.raises(Problem, match="names of columns: label"):
        read(tmp_path, *tasks, keep=["label"])


def test_annotators_of_a_snapshot_are_people_with_addresses(tmp_path):
    ann, bob = {"id": 4, "email": "ann@example.org"}, {"id": 5, "first_name": "Bob"}
    table = read(tmp_path, task(UPLOAD.format("a"), annotation("Mars", by=ann), annotation("Mars", by=bob)))
    assert table["annotators"].tolist() == [("ann@example.org", "5")]


@in_minimal_formats
def test_annotators_may_be_addresses_in_all_formats(tmp_path, form):
    table = read(tmp_path, task(UPLOAD.format("a"), annotation("Mars", by="ann@example.org")), form=form)
    assert table["annotators"].tolist() == [("ann@example.org",)]


@in_all_formats
def test_tasks_without_an_image_are_shown_not_labelled(tmp_path, form):
    table = read(
        tmp_path,
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


@in_all_formats
@pytest.mark.parametrize(
    ("on_disagreement", "labels"),
    [
        ("leave out", [None, None, None, None, None, "Sun"]),
        ("majority", ["Mars", None, "Sun", None, None, "Sun"]),
        ("latest", [None, None, "Mars", None, None, "Sun"]),
    ],
)
def test_who_decides_where_annotations_disagree(tmp_path, form, on_disagreement, labels):
    table = read(tmp_path, *VOTES, form=form, on_disagreement=on_disagreement)
    assert table["label"].tolist() == labels
    assert table["status"][3] == ("several labels" if on_disagreement == "latest" else "conflict")


CONTESTED = [
    task(UPLOAD.format("a"), annotation("Mars", by="ann"), annotation("Moon", by="bob", ground_truth=True)),
    task(UPLOAD.format("b"), annotation("Mars", by="ann"), annotation("Moon", by="bob")),
    task(UPLOAD.format("c"), *(annotation(label, by=label, ground_truth=True) for label in ("Mars", "Moon"))),
    task(
        UPLOAD.format("d"),
        annotation("Mars", by="ann", reviews=[{"accepted": True, "created_at": "2026-01-06T09:00:00Z"}]),
        annotation("Moon", by="bob", reviews=[{"accepted": False, "created_at": "2026-01-06T09:00:00Z"}]),
    ),
    task(
        UPLOAD.format("e"),
        annotation(
            "Mars",
            by="ann",
            reviews=[
                {"accepted": False, "created_at": "2026-01-07T09:00:00Z"},
                {"accepted": True, "created_at": "2026-01-06T09:00:00Z"},
            ],
        ),
        annotation("Moon", by="bob"),
    ),
    task(UPLOAD.format("f"), annotation("Mars", by="ann"), annotation("Moon", was_cancelled=True, ground_truth=True)),
]


def test_ground_truth_and_accepted_reviews_settle_a_disagreement(tmp_path):
    table = read(tmp_path, *CONTESTED, on_disagreement="ground truth")
    assert table["label"].tolist() == ["Moon", None, None, "Mars", None, "Mars"]
    assert read(tmp_path, *CONTESTED)["label"].tolist() == [None] * 5 + ["Mars"]


@pytest.mark.parametrize("reviews", [None, 7, "yes", {}, [None], [[]], [{"accepted": "no"}], [{"created_at": 3}]])
def test_reviews_of_another_form_say_nothing(tmp_path, reviews):
    reviewed = annotation("Moon", by="bob", reviews=reviews, ground_truth="false")
    table = read(tmp_path, task(UPLOAD.format("a"), annotation("Mars"), reviewed), on_disagreement="ground truth")
    assert table["truths"].tolist() == [(False, False)]
    assert table["status"].tolist() == ["conflict"]


def test_an_unknown_way_to_decide_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(Problem, match=r"on_disagreement.*vote"):
        read_export(tmp_path / "missing", on_disagreement="vote")


@in_one_folder
@in_all_formats
@given(seed=st.integers(0, 999), on_disagreement=st.sampled_from(ON_DISAGREEMENT))
def test_the_order_of_rows_decides_nothing(tmp_path, form, seed, on_disagreement):
    def decide(tasks: list[Task]) -> list[list[object]]:
        path = write(tmp_path / "export", tasks, form)
        table = read_export(path, on_disagreement=on_disagreement, label_control="choice")
        decided = table[["image", "label", "status", "reason", "updated_at", "by_model"]].astype(object)
        return sorted(decided.fillna("").to_numpy().tolist())

    chance = random.Random(seed)
    shuffled = [one | {"annotations": chance.sample(one["annotations"], len(one["annotations"]))} for one in MIXED]
    assert decide(chance.sample(shuffled, len(shuffled))) == decide(MIXED)
