"""The lineage tells where each image comes from, and which of two labels is the newer one."""

import shutil

import pandas as pd
import pytest
from projects import MONDAY, TUESDAY, WEDNESDAY, Project, labelled, make_project, tree

from helpers.hashing import sha256_of
from helpers.merge.lineage import read_lineage
from helpers.problems import Problem


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path)


def test_the_images_lie_in_their_classes_and_the_lineage_tells_where_they_come_from(project):
    project.merge(labelled("a.png", "Moon"), labelled("b.png", "Mars", TUESDAY, by_model=True), export="e1")
    assert tree(project.raw).keys() == {"Mars/old.png", "Mars/b.png", "Moon/old.png", "Moon/a.png"}
    lineage = read_lineage(project.lineage)
    assert lineage.to_dict("list") == {
        "file": ["Mars/b.png", "Moon/a.png"],
        "label": ["Mars", "Moon"],
        "sha256": [sha256_of(project.images / "b.png"), sha256_of(project.images / "a.png")],
        "task": ["1 2", "1 2"],
        "annotators": ["1 ann@example.org", "1 ann@example.org"],
        "updated_at": [TUESDAY, MONDAY],
        "export_sha256": ["e1", "e1"],
        "by_model": [True, False],
    }
    assert sorted(path.name for path in (project.root / "data").iterdir()) == ["labels.csv", "raw"]


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


def test_a_label_that_was_confirmed_outlives_an_export_from_before(project):
    project.merge(labelled("a.png", "Mars", MONDAY))
    project.merge(labelled("a.png", "Mars", WEDNESDAY))
    assert list(project.plan(labelled("a.png", "Moon", TUESDAY))["action"]) == ["keep"]


def test_who_was_outvoted_did_not_give_the_label(project):
    people = {"annotators": ("1", "2", "3", "1"), "labels": ("Mars", "Moon", "Mars", "Mars")}
    project.merge(labelled("a.png", "Mars", **people))
    assert list(read_lineage(project.lineage)["annotators"]) == ["1 3"]


def test_a_damaged_lineage_is_named(project):
    project.put("data/labels.csv", b"<<<<<<< HEAD\n")
    with pytest.raises(Problem, match=r"labels\.csv is damaged"):
        project.plan(labelled("a.png", "Mars"))
