"""The lineage tells where each image comes from, and which of two labels is the newer one."""

import shutil

import pandas as pd
import pytest
from projects import MONDAY, TUESDAY, WEDNESDAY, Project, labelled, make_project, tree

from helpers.hashing import sha256_of
from helpers.merge.lineage import count_changes, hash_labels, read_lineage
from helpers.problems import Problem


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path)


def test_the_images_lie_in_their_classes_and_the_lineage_tells_where_they_come_from(project):
    project.merge(labelled("a.png", "Moon"), labelled("b.png", "Mars", TUESDAY, by_model=True), export="e1")
    assert tree(project.raw).keys() == {"Mars/old.png", "Mars/b.png", "Moon/old.png", "Moon/a.png"}
    lineage = read_lineage(project.lineage)
    (labels_sha256,) = set(lineage.pop("labels_sha256"))
    assert len(labels_sha256) == 64
    assert lineage.to_dict("list") == {
        "file": ["Mars/b.png", "Moon/a.png"],
        "label": ["Mars", "Moon"],
        "sha256": [sha256_of(project.images / "b.png"), sha256_of(project.images / "a.png")],
        "task": ["1 2", "1 2"],
        "annotators": ["1 ann@example.org", "1 ann@example.org"],
        "updated_at": [TUESDAY, MONDAY],
        "export_sha256": ["e1", "e1"],
        "by_model": [True, False],
        "project": ["3", "3"],
        "queue": ["chance", "chance"],
    }
    assert sorted(path.name for path in (project.root / "data").iterdir()) == ["labels.csv", "raw"]


def test_a_lineage_of_an_earlier_version_is_read_and_gets_its_new_columns_with_the_next_merge(project):
    project.merge(labelled("a.png", "Moon"))
    columns = ["project", "queue", "labels_sha256"]
    old = pd.read_csv(project.lineage, dtype=str).drop(columns=columns)
    old.to_csv(project.lineage, index=False)
    lineage = read_lineage(project.lineage)
    assert lineage[columns].to_dict("records") == [dict.fromkeys(columns, "")]
    project.merge(labelled("b.png", "Mars"))
    lineage = read_lineage(project.lineage).set_index("file")
    assert lineage["project"].to_dict() == {"Mars/b.png": "3", "Moon/a.png": ""}
    assert lineage["export_sha256"].tolist() == ["e1", "e1"]


def test_an_export_is_known_by_its_labels_in_any_order(project):
    people: dict[str, object] = {"annotators": ("1", "2"), "labels": ("Mars", "Moon"), "status": "conflict"}
    rows = [labelled("a.png", "Moon / Io"), labelled("b.png", None, **people), labelled("c.png", "Mars", pd.NaT)]
    table = pd.DataFrame(rows)
    same = hash_labels(table)
    assert same.startswith("b33eb0478de9"), "recorded: it must be the same with every version of pandas"
    assert hash_labels(table[::-1]) == same
    assert hash_labels(table.assign(tasks=pd.Series([(2, 1)] * 3), lead_time=7.0, reason="", queue="")) == same
    waiting = labelled("d.png", None, annotators=())
    assert hash_labels(pd.DataFrame([*rows, waiting])) == same
    people |= {"annotators": ("2", "1"), "labels": ("Moon", "Mars"), "image": rows[1]["image"]}
    assert hash_labels(pd.DataFrame([rows[0], labelled("b.png", None, **people), rows[2]])) == same
    plan = project.plan(*rows, new_classes=["Moon - Io"])
    assert hash_labels(plan) == same


@pytest.mark.parametrize(
    "change",
    [
        {"label": "Mars", "labels": ("Mars", "Mars")},
        {"updated_at": TUESDAY},
        {"status": "skipped"},
        {"annotators": ("1", "2")},
        {"tasks": (1,)},
        {"image": "s3://bucket/a.png"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_label_is_another_export(change):
    row = labelled("a.png", "Moon")
    assert hash_labels(pd.DataFrame([row | change])) != hash_labels(pd.DataFrame([row]))
    assert hash_labels(pd.DataFrame([row, labelled("b.png", "Moon")])) != hash_labels(pd.DataFrame([row]))


def test_the_order_of_the_export_does_not_show(project, tmp_path_factory):
    rows = [labelled("a.png", "Moon"), labelled("b.png", "Mars"), labelled("c.png", "Mars", pd.NaT)]
    project.merge(*rows)
    other = Project(tmp_path_factory.mktemp("other"))
    shutil.copytree(project.images, other.images, dirs_exist_ok=True)
    other.merge(*reversed(rows), new_classes=["Mars", "Moon"])
    assert project.lineage.read_bytes() == other.lineage.read_bytes()


@pytest.mark.parametrize("updated_at", [MONDAY, pd.NaT])
def test_an_older_export_corrects_nothing(project, updated_at):
    project.merge(labelled("a.png", "Mars", TUESDAY))
    plan = project.merge(labelled("a.png", "Moon", updated_at))
    assert list(plan["action"]) == ["keep"]
    assert "newer" in plan["reason"][0]
    assert (project.raw / "Mars/a.png").exists()


def test_an_older_export_brings_no_image_back_that_is_gone(project):
    project.merge(labelled("a.png", "Mars", TUESDAY))
    (project.raw / "Mars/a.png").unlink()
    assert list(project.plan(labelled("a.png", "Moon", MONDAY))["action"]) == ["leave out"]


def test_the_name_of_an_image_that_only_the_lineage_has_is_given_to_no_other(project):
    """After a merge that was killed between its moves, the image is still on its way."""
    project.merge(labelled("a.png", "Mars"))
    (project.raw / "Mars/a.png").unlink()
    project.put("images/a.png", 20)
    (name,) = project.plan(labelled("a.png", "Mars"))["destination"]
    assert name.startswith("Mars/a-")


def test_each_file_and_each_content_has_one_row(project):
    project.merge(labelled("a.png", "Mars"), labelled("b.png", "Mars"))
    (project.raw / "Mars/b.png").replace(project.raw / "Mars/a.png")
    project.merge(labelled("b.png", "Mars", TUESDAY))
    assert list(read_lineage(project.lineage)["file"]) == ["Mars/a.png"]

    header, row = project.lineage.read_text().splitlines()
    project.lineage.write_text("\n".join([header, row, row.replace("Mars/a.png", "Moon/a.png"), ""]))  # by a git merge
    assert list(read_lineage(project.lineage)["file"]) == ["Mars/a.png"]
    assert list(project.plan(labelled("b.png", "Mars", TUESDAY))["action"]) == ["keep"]


def test_another_label_of_the_same_time_corrects(project):
    """As after a class is renamed in Label Studio, which leaves the times of annotations alone."""
    project.merge(labelled("a.png", "Mars"))
    assert list(project.plan(labelled("a.png", "Moon"))["action"]) == ["move"]


def test_a_label_that_was_confirmed_outlives_an_export_from_before(project):
    project.merge(labelled("a.png", "Mars", MONDAY))
    project.merge(labelled("a.png", "Mars", WEDNESDAY))
    assert list(project.plan(labelled("a.png", "Moon", TUESDAY))["action"]) == ["keep"]


@pytest.mark.parametrize("later", ["", "chance"])
def test_why_an_image_was_asked_for_outlives_a_correction_from_another_project(project, later):
    project.merge(labelled("a.png", "Mars", queue="least certain"), labelled("b.png", "Mars", queue=""))
    project.merge(*(labelled(f"{name}.png", "Moon", TUESDAY, queue=later) for name in "ab"))
    lineage = read_lineage(project.lineage)
    assert lineage["label"].tolist() == ["Moon", "Moon"]
    assert lineage["queue"].tolist() == ["least certain", later]


def test_of_two_tasks_with_the_same_content_one_that_was_in_the_queue_tells_why(project):
    by_hand = labelled("a.png", "Mars", TUESDAY, queue="", tasks=(3,))
    project.merge(labelled("a.png", "Mars", queue="least certain"), by_hand)
    assert read_lineage(project.lineage)[["task", "queue"]].to_numpy().tolist() == [["3", "least certain"]]


def test_added_and_corrected_images_are_counted_from_one_lineage_to_a_later_one(project):
    project.put("images/d.png", 14)
    project.merge(labelled("a.png", "Mars"), labelled("b.png", "Mars"))
    before = read_lineage(project.lineage)
    later = [labelled(name, "Moon", TUESDAY) for name in ("a.png", "c.png", "d.png")]
    project.merge(*later, labelled("b.png", "Mars", TUESDAY))
    after = read_lineage(project.lineage)
    assert count_changes(before, after) == (2, 1)
    assert count_changes(before, after[after["label"] == "Moon"]) == (2, 1), "an image that is gone is not counted"
    assert count_changes(after, after) == (0, 0)


def test_who_was_outvoted_did_not_give_the_label(project):
    people = {"annotators": ("1", "2", "3", "1"), "labels": ("Mars", "Moon", "Mars", "Mars")}
    project.merge(labelled("a.png", "Mars", **people))
    assert list(read_lineage(project.lineage)["annotators"]) == ["1 3"]


def test_a_damaged_lineage_is_named(project):
    project.put("data/labels.csv", b"<<<<<<< HEAD\n")
    with pytest.raises(Problem, match=r"labels\.csv is damaged"):
        project.plan(labelled("a.png", "Mars"))
