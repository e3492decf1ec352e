"""The table of annotators: how much, how fast, and how often others agree."""

import pandas as pd
import pytest
from exports import UPLOAD, annotation, in_all_formats, read, task

from extras.annotators import annotators_table, describe_annotators


@in_all_formats
def test_agreement_counts_images_that_both_labelled(tmp_path, form):
    table = read(
        tmp_path,
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


def test_agreement_with_ground_truth_counts_the_answers_of_others(tmp_path):
    table = read(
        tmp_path,
        task(UPLOAD.format("a"), annotation("Mars", by="ann"), annotation("Mars", by="eve", ground_truth=True)),
        task(UPLOAD.format("b"), annotation("Mars", by="ann"), annotation("Moon", by="eve", ground_truth=True)),
        task(UPLOAD.format("c"), annotation("Moon", by="bob"), annotation("Moon", by="eve", ground_truth=True)),
        task(UPLOAD.format("d"), annotation("Moon", by="ann"), annotation("Moon", by="bob")),
        task(UPLOAD.format("e"), annotation("Moon", by="eve", ground_truth=True)),
    )
    people = describe_annotators(table)
    assert people["checked"].to_dict() == {"ann": 2, "bob": 1, "eve": 0}
    assert people["right"].dropna().to_dict() == {"ann": 0.5, "bob": 1.0}
    assert "right" not in describe_annotators(read(tmp_path, task(UPLOAD.format("a"), annotation("Mars"))))


def test_nobody_agrees_where_nobody_shared_an_image(tmp_path):
    people = describe_annotators(read(tmp_path, task(UPLOAD.format("a"), annotation("Mars", by="ann"))))
    assert people["shared"].to_dict() == {"ann": 0}
    assert people["agreed"].isna().all()


def test_lead_times_are_those_of_images_that_one_person_labelled(tmp_path):
    table = read(
        tmp_path,
        task(UPLOAD.format("a"), annotation("Mars", by="ann", seconds=2.0)),
        task(UPLOAD.format("b"), annotation("Moon", by="ann", seconds=9.0)),
        task(UPLOAD.format("c"), annotation("Moon", by="ann", seconds=4.0), annotation("Moon", by="bob", seconds=1.0)),
        task(UPLOAD.format("d"), annotation("Moon", by="bob", seconds=None)),
        task(UPLOAD.format("e")),
    )
    seconds = describe_annotators(table)["seconds"]
    assert seconds.dropna().to_dict() == {"ann": 5.5}
    assert seconds.index.tolist() == ["ann", "bob", "nobody"]


def test_each_image_counts_by_its_status_for_everyone_who_annotated_it(tmp_path):
    table = read(
        tmp_path,
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


def test_an_empty_export_has_no_annotators(tmp_path):
    assert len(describe_annotators(read(tmp_path))) == 0


@pytest.mark.parametrize("known", [False, True])
def test_the_table_of_annotators_compares_them_with_ground_truth_where_that_is_known(known):
    people = pd.DataFrame({"labelled": [3], "seconds": [2.04], "shared": [2], "agreed": [0.5]}, index=["ann"])
    told = annotators_table(people.assign(checked=[2], right=[1.0]) if known else people).to_dict("index")["ann"]
    assert (told["Seconds an image"], told["Others agreed"]) == ("2.0", "50.0 %")
    assert told.get("Agreed with it") == ("100.0 %" if known else None)
