"""The plan says for each image what becomes of it, and touches nothing."""

import hashlib

import pandas as pd
import pytest
from projects import (
    TUESDAY,
    WEDNESDAY,
    Project,
    in_storage,
    labelled,
    make_project,
    picture,
    tree,
)

from helpers.hashing import sha256_of
from helpers.labels.fields import file_of
from helpers.merge.lineage import read_lineage
from helpers.merge.plan import count_classes, plan_merge
from helpers.problems import Problem


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path)


def test_says_for_each_image_what_becomes_of_it_and_touches_nothing(project):
    before = tree(project.root)
    plan = project.plan(labelled("a.png", "Mars"), labelled("b.png", None))
    assert list(plan["action"]) == ["add", "leave out"]
    assert list(plan["destination"]) == ["Mars/a.png", ""]
    assert list(plan["reason"]) == ["", "not annotated"]
    assert plan["source"][0] == str(project.images / "a.png")
    assert plan["sha256"][0] == sha256_of(project.images / "a.png")
    assert tree(project.root) == before


def test_an_export_without_images(project):
    nothing = pd.DataFrame([labelled("a.png", "Mars")]).iloc[:0]
    plan = plan_merge(nothing, project.images, project.raw, lineage=project.lineage, hashes=project.hashes)
    project.apply(plan)
    assert plan.empty
    assert tree(project.raw).keys() == {"Mars/old.png", "Moon/old.png"}


def test_a_file_that_was_renamed_is_recognised(project):
    project.put("images/new name.png", 1)
    plan = project.plan(labelled("new_name.png", "Mars"))
    assert list(plan["action"]) == ["keep"]
    assert list(plan["destination"]) == ["Mars/old.png"]


def test_the_folder_of_a_nested_choice_has_no_slash(project):
    rows = [labelled("a.png", "animal / dog"), labelled("b.png", "animal / cat", TUESDAY)]
    plan = project.merge(*rows, new_classes=["animal - dog", "animal - cat"])
    assert sorted(plan["destination"]) == ["animal - cat/b.png", "animal - dog/a.png"]
    assert list(project.plan(*rows)["action"]) == ["keep", "keep"]
    assert list(read_lineage(project.lineage)["annotators"]) == ["1 ann@example.org"] * 2


def test_addresses_without_a_file_name_are_told_apart_by_their_queries(project):
    addresses = [f"https://museum.example/eMuseumPlus?objectId={number}" for number in range(3)]
    rows = [labelled("x", "Mars") | {"image": address, "file": file_of(address)} for address in addresses]
    with pytest.raises(Problem) as caught:
        project.plan(*rows)
    assert len(caught.value.details) == 3
    for number, row in enumerate(rows):
        project.put(f"images/{row['file']}.png", 20 + number)
    plan = project.merge(*rows)
    assert list(plan["action"]) == ["add"] * 3
    assert plan["sha256"].nunique() == plan["destination"].nunique() == 3


def test_uploaded_twice_it_is_one_image(project):
    project.put("images/copy.png", 10)
    plan = project.merge(
        labelled("a.png", "Mars"), labelled("a.png", "Mars", TUESDAY, tasks=(9,)), labelled("copy.png", "Mars")
    )
    assert sorted(plan["action"]) == ["add", "keep", "keep"]
    assert tree(project.raw).keys() == {"Mars/a.png", "Mars/old.png", "Moon/old.png"}
    assert list(read_lineage(project.lineage)["task"]) == ["9"], "the later of the two annotations counts"


@pytest.mark.parametrize("other", [{"label": "Moon"}, {"label": None, "status": "conflict", "reason": "they disagree"}])
def test_the_same_bytes_with_two_answers_are_a_conflict(project, other):
    project.put("images/copy.png", 10)
    plan = project.plan(labelled("a.png", "Mars"), labelled("copy.png", "Moon") | other, labelled("b.png", "Moon"))
    assert list(plan["action"]) == ["leave out", "leave out", "add"]
    assert "Mars" in plan["reason"][0]
    assert "copy.png" in plan["reason"][0]


def test_the_same_bytes_skipped_once_are_no_conflict(project):
    project.put("images/copy.png", 10)
    skipped = labelled("copy.png", None, status="skipped", reason="skipped")
    assert list(project.plan(labelled("a.png", "Mars"), skipped)["action"]) == ["add", "leave out"]


def test_against_a_training_set_that_did_not_come_from_labelling(project):
    project.put("images/a.png", 1)
    plan = project.plan(labelled("a.png", "Moon"))
    assert list(plan["action"]) == ["leave out"]
    assert "Mars/old.png" in plan["reason"][0]


def test_what_lost_its_label_stays_and_the_plan_says_so(project):
    project.merge(labelled("a.png", "Mars"))
    plan = project.merge(labelled("a.png", None, status="conflict", reason="annotations disagree"))
    assert plan["reason"][0] == "annotations disagree; Mars/a.png stays in the training set"
    assert (project.raw / "Mars/a.png").exists()


def test_an_image_that_was_taken_out_comes_back_only_with_a_newer_label(project):
    sha256 = project.merge(labelled("a.png", "Mars"), labelled("b.png", "Mars"))["sha256"][0]
    (project.raw / "Mars/a.png").unlink()
    plan = project.plan(labelled("a.png", "Mars"), labelled("b.png", "Mars"), taken_out={sha256: TUESDAY})
    assert list(plan["action"]) == ["leave out", "keep"]
    assert plan["reason"][0] == "taken out of the training set on 2026-11-03; label it again to bring it back"
    (again,) = project.plan(labelled("a.png", "Moon", WEDNESDAY), taken_out={sha256: TUESDAY}).to_dict("records")
    assert (again["action"], again["destination"]) == ("add", "Moon/a.png")
    assert again["reason"] == "labelled again after it was taken out on 2026-11-03"


def test_different_images_of_one_name_get_distinct_names(project):
    for number, name in enumerate(["x/old.png", "y/old.png", "z/OLD.png"]):
        project.put(f"images/{name}", 20 + number)
    rows = [in_storage(path, "Mars") for path in ("x/old.png", "y/old.png", "z/OLD.png")]
    project.merge(*rows)
    assert set(tree(project.raw / "Mars").values()) == {
        hashlib.sha256(picture(number)).hexdigest() for number in (1, 20, 21, 22)
    }
    assert len({name.casefold() for name in tree(project.raw / "Mars")}) == 4, "on every file system"


def test_count_classes_foretells_the_counts(project):
    project.merge(labelled("a.png", "Mars"), labelled("b.png", "Mars"))
    plan = project.plan(
        labelled("a.png", "Moon", TUESDAY),
        labelled("b.png", "Mars"),
        labelled("c.png", "Venus"),
        new_classes=["Venus"],
    )
    balance = count_classes(plan, project.raw)
    assert balance["before"].to_dict() == {"Mars": 3, "Moon": 1, "Venus": 0}
    project.apply(plan)
    after = {folder.name: len(list(folder.iterdir())) for folder in project.raw.iterdir()}
    assert balance["after"].to_dict() == after
