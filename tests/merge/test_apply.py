"""Labelled images come into the training set: the right ones, once, under the right label."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import (
    TUESDAY,
    Project,
    in_storage,
    labelled,
    make_project,
    picture,
    tree,
)

from helpers.hashing import sha256_of
from helpers.labels import read_export
from helpers.merge.lineage import read_lineage
from helpers.merge.plan import plan_merge
from helpers.problems import Problem

PLANETS = Path(__file__).parents[3] / "shared" / "planets"


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path)


def test_again_changes_nothing(project):
    rows = [labelled("a.png", "Moon"), labelled("b.png", "Mars")]
    plan = project.merge(*rows)
    before = tree(project.root)
    project.apply(plan)
    assert tree(project.root) == before
    assert set(project.merge(*rows, export="e2")["action"]) == {"keep"}
    assert tree(project.root) == before


def test_a_corrected_image_moves(project):
    project.merge(labelled("a.png", "Mars"), labelled("b.png", "Mars"))
    plan = project.merge(labelled("a.png", "Moon", TUESDAY), labelled("b.png", "Mars"), export="e2")
    assert list(plan["action"]) == ["move", "keep"]
    assert plan["previous"][0] == "Mars/a.png"
    assert tree(project.raw).keys() == {"Mars/old.png", "Mars/b.png", "Moon/old.png", "Moon/a.png"}
    lineage = read_lineage(project.lineage).set_index("file")
    assert lineage["label"].to_dict() == {"Mars/b.png": "Mars", "Moon/a.png": "Moon"}
    assert lineage["export_sha256"].to_dict() == {"Mars/b.png": "e1", "Moon/a.png": "e2"}


def test_what_somebody_moved_by_hand_is_not_moved_back(project):
    project.merge(labelled("a.png", "Mars"))
    (project.raw / "Mars/a.png").rename(project.raw / "Moon/a.png")
    plan = project.merge(labelled("a.png", "Mars"))
    assert list(plan["action"]) == ["leave out"]
    assert "Moon/a.png, where somebody moved" in plan["reason"][0]
    plan = project.merge(labelled("a.png", "Moon", TUESDAY))
    assert read_lineage(project.lineage)["file"].tolist() == ["Moon/a.png"], "corrected in Label Studio, too"
    assert list(project.plan(labelled("a.png", "Moon", TUESDAY))["action"]) == ["keep"]


def test_a_class_that_loses_its_last_image_is_gone(project):
    project.merge(labelled("a.png", "Venus"), new_classes=["Venus"])
    project.merge(labelled("a.png", "Mars", TUESDAY))
    assert not (project.raw / "Venus").exists()


def test_images_that_swap_classes(project):
    for number, name in enumerate(["x/same.png", "y/same.png"]):
        project.put(f"images/{name}", 40 + number)

    project.merge(in_storage("x/same.png", "Mars"), in_storage("y/same.png", "Moon"))
    project.merge(in_storage("x/same.png", "Moon", TUESDAY), in_storage("y/same.png", "Mars", TUESDAY))
    homes = {sha256: name.partition("/")[0] for name, sha256 in tree(project.raw).items()}
    assert homes[sha256_of(project.images / "x/same.png")] == "Moon"
    assert homes[sha256_of(project.images / "y/same.png")] == "Mars"
    assert len(tree(project.raw)) == 4


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_into_a_cache_are_never_written_through(project, link, tmp_path):
    project.merge(labelled("a.png", "Mars"))
    project.put("cache/a", 10)
    project.put("cache/labels", project.lineage.read_bytes())
    for name, cached in [("data/raw/Mars/a.png", "a"), ("data/labels.csv", "labels")]:
        (tmp_path / "cache" / cached).chmod(0o444)
        (tmp_path / name).unlink()
        link(tmp_path / "cache" / cached, tmp_path / name)
    before = tree(tmp_path / "cache")
    project.merge(labelled("a.png", "Moon", TUESDAY), labelled("b.png", "Mars"))
    assert tree(tmp_path / "cache") == before
    assert sha256_of(project.raw / "Moon/a.png") == before["a"]


def test_an_image_of_which_the_training_set_has_two_is_not_corrected_by_halves(project):
    project.merge(labelled("a.png", "Mars"))
    shutil.copy(project.raw / "Mars/a.png", project.raw / "Mars/copy.png")
    plan = project.plan(labelled("a.png", "Moon", TUESDAY))
    assert list(plan["action"]) == ["leave out"]
    assert "Mars/a.png and Mars/copy.png" in plan["reason"][0]


def test_another_image_that_took_the_name_since_the_plan_is_not_moved(project):
    project.merge(labelled("a.png", "Mars"))
    plan = project.plan(labelled("a.png", "Moon", TUESDAY))
    project.put("data/raw/Mars/a.png", 99)
    before = tree(project.root)
    with pytest.raises(Problem, match=r"Mars/a\.png is gone or has changed"):
        project.apply(plan)
    assert tree(project.root) == before


def test_what_changed_since_the_plan_stops_it(project):
    project.merge(labelled("a.png", "Mars"))
    plan = project.plan(labelled("a.png", "Moon", TUESDAY), labelled("b.png", "Mars"), labelled("c.png", "Moon"))
    project.put("data/raw/Mars/b.png", 99)
    (project.raw / "Mars/a.png").unlink()
    before = tree(project.root)
    with pytest.raises(Problem, match=r"Mars/a\.png(.|\n)*Mars/b\.png"):
        project.apply(plan)
    assert tree(project.root) == before


def test_an_image_that_somebody_copied_where_it_should_move_stops_it(project):
    project.merge(labelled("a.png", "Mars"))
    plan = project.plan(labelled("a.png", "Moon", TUESDAY))
    shutil.copy(project.raw / "Mars/a.png", project.raw / "Moon/a.png")
    before = tree(project.root)
    with pytest.raises(Problem, match=r"Moon/a\.png is there already"):
        project.apply(plan)
    assert tree(project.root) == before


def test_an_image_that_changed_since_the_plan_stops_it(project):
    plan = project.plan(labelled("a.png", "Mars"), labelled("b.png", "Mars"))
    project.put("images/b.png", 99)
    before = tree(project.root)
    with pytest.raises(Problem, match=r"images/b\.png"):
        project.apply(plan)
    assert tree(project.root) == before


@pytest.mark.parametrize("destination", ["../out/a.png", "/tmp/out/a.png", "/a.png", "Venus/a.png"])
def test_a_plan_that_leads_out_is_not_followed(project, destination):
    (project.root / "out").mkdir()
    (project.raw / "Venus").symlink_to(project.root / "out")
    plan = project.plan(labelled("a.png", "Mars")).assign(destination=destination)
    before = tree(project.root)
    with pytest.raises(Problem, match="outside"):
        project.apply(plan)
    assert tree(project.root) == before


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40).filter(
                lambda name: name.strip(".")
            ),
            st.one_of(
                st.text(max_size=12),
                st.sampled_from(["../../out", "/tmp/x", "CON", "Mars", "mars", "a/../b", "~", "-rf"]),
            ),
        ),
        max_size=6,
        unique_by=lambda pair: pair[0],
    )
)
def test_no_name_and_no_label_leads_out_of_the_training_set(pairs):
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        contents = {}
        for number, (name, _) in enumerate(pairs):
            project.put(f"images/{name}.png", number)
            contents[f"{name}.png"] = hashlib.sha256(picture(number)).hexdigest()
        rows = [in_storage(f"{name}.png", label) for name, label in pairs]
        if rows:
            plan = project.merge(*rows, new_classes=[label for _, label in pairs], on_problem="skip")
            merged = tree(project.raw)
            assert sorted(merged.values()) == sorted(plan["sha256"][plan["action"] == "add"])
            assert {name.partition("/")[0] for name in merged} <= {label for _, label in pairs}
            assert all(name.count("/") == 1 for name in merged)
            assert sorted(path.name for path in (project.root / "data").iterdir()) == ["labels.csv", "raw"]
        assert tree(project.images) == contents
        assert sorted(path.name for path in project.root.iterdir()) == ["data", "images"]


@pytest.mark.skipif(not PLANETS.is_dir(), reason="the planets are not here")
def test_two_rounds_of_one_project(tmp_path):
    project = Project(tmp_path)
    shutil.copytree(PLANETS / "raw", project.raw, dirs_exist_ok=True)
    true_labels = json.loads((PLANETS / "exports/truth.json").read_text())
    before = set(tree(project.raw).values())
    for number in ("round1", "round2"):
        export = PLANETS / f"exports/{number}.JSON.json"
        plan = plan_merge(
            read_export(export), PLANETS / "extra", project.raw, lineage=project.lineage, hashes=project.hashes
        )
        project.apply(plan, sha256_of(export))
        homes: dict[str, list[str]] = {}
        for name, sha256 in tree(project.raw).items():
            homes.setdefault(sha256, []).append(name.partition("/")[0])
        assert before <= homes.keys()
        for file, truth in true_labels[number].items():
            expected = [truth["label"]] if truth["label"] else []
            assert homes.get(sha256_of(PLANETS / "extra" / file), []) == expected
    first, second = true_labels["round1"], true_labels["round2"]
    corrected = {file for file in first if first[file]["label"] not in (None, second[file]["label"])}
    assert corrected
    assert {Path(source).name for source in plan["source"][plan["action"] == "move"]} == corrected
