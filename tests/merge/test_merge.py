"""Labelled images come into the training set: the right ones, once, under the right label, whatever happens."""

import hashlib
import io
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.labels import read_export
from helpers.merge.apply import apply_merge
from helpers.merge.hashing import sha256_of
from helpers.merge.lineage import read_lineage
from helpers.merge.plan import count_classes, plan_merge
from helpers.merge.rules import CHANGES
from helpers.problems import Problem

PLANETS = Path(__file__).parents[3] / "shared" / "planets"
MONDAY, TUESDAY, WEDNESDAY = pd.date_range("2026-11-02", periods=3, tz="UTC")
FORKS = multiprocessing.get_context("fork")  # children need not import everything again


def picture(number: int) -> bytes:
    """A small picture; another number is another picture."""
    content = io.BytesIO()
    Image.new("RGB", (4, 4), (number % 256, number // 256, 0)).save(content, "PNG")
    return content.getvalue()


def labelled(file: str, label: str | None, updated_at: Any = MONDAY, **columns: object) -> dict[str, object]:
    """A row of `read_export`, of an uploaded image."""
    stored = f"{zlib.crc32(f'{file}{columns}'.encode()):08x}-{file}"
    return {
        "image": f"/data/upload/1/{stored}",
        "file": stored,
        "label": label,
        "status": "labelled" if label else "unlabelled",
        "reason": None if label else "not annotated",
        "tasks": (1, 2),
        "annotators": ("1", "ann@example.org"),
        "labels": (label, label),
        "updated_at": updated_at,
        "lead_time": 2.5,
        "by_model": False,
    } | columns


def in_storage(path: str, label: str | None, updated_at: pd.Timestamp = MONDAY) -> dict[str, object]:
    """A row of `read_export`, of an image in a bucket."""
    return labelled(path, label, updated_at) | {"image": f"s3://bucket/{path}", "file": path}


def tree(folder: Path) -> dict[str, str]:
    """What is where: the SHA-256 of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


class Project:
    """A folder with a training set, images to be labelled, and a lineage."""

    def __init__(self, root: Path) -> None:
        self.root, self.images, self.raw, self.lineage = (
            root,
            root / "images",
            root / "data/raw",
            root / "data/labels.csv",
        )
        self.hashes = root.with_name(f"{root.name}.hashes.json")
        self.images.mkdir(parents=True)
        self.raw.mkdir(parents=True)

    def put(self, name: str, content: bytes | int) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(picture(content) if isinstance(content, int) else content)

    def plan(self, *rows: dict[str, object], **options: Any) -> pd.DataFrame:
        labels = pd.DataFrame(rows)
        labels["updated_at"] = pd.to_datetime(labels["updated_at"], utc=True)
        return plan_merge(labels, self.images, self.raw, lineage=self.lineage, hashes=self.hashes, **options)

    def apply(self, plan: pd.DataFrame, export: str = "e1") -> None:
        apply_merge(plan, self.raw, self.lineage, export, hashes=self.hashes)

    def merge(self, *rows: dict[str, object], export: str = "e1", **options: Any) -> pd.DataFrame:
        plan = self.plan(*rows, **options)
        self.apply(plan, export)
        return plan


@pytest.fixture
def project(tmp_path) -> Project:
    """Two classes with an image each, and three images to be labelled."""
    project = Project(tmp_path)
    project.put("data/raw/Mars/old.png", 1)
    project.put("data/raw/Moon/old.png", 2)
    for number, name in enumerate("abc"):
        project.put(f"images/{name}.png", 10 + number)
    return project


class TestPlan:
    def test_says_for_each_image_what_becomes_of_it_and_touches_nothing(self, project):
        before = tree(project.root)
        plan = project.plan(labelled("a.png", "Mars"), labelled("b.png", None))
        assert list(plan["action"]) == ["add", "leave out"]
        assert list(plan["destination"]) == ["Mars/a.png", ""]
        assert list(plan["reason"]) == ["", "not annotated"]
        assert plan["source"][0] == str(project.images / "a.png")
        assert plan["sha256"][0] == sha256_of(project.images / "a.png")
        assert tree(project.root) == before

    def test_an_export_without_images(self, project):
        nothing = pd.DataFrame([labelled("a.png", "Mars")]).iloc[:0]
        plan = plan_merge(nothing, project.images, project.raw)
        project.apply(plan)
        assert plan.empty
        assert tree(project.raw).keys() == {"Mars/old.png", "Moon/old.png"}

    def test_a_file_that_was_renamed_is_recognised(self, project):
        project.put("images/new name.png", 1)
        plan = project.plan(labelled("new_name.png", "Mars"))
        assert list(plan["action"]) == ["keep"]
        assert list(plan["destination"]) == ["Mars/old.png"]

    def test_uploaded_twice_it_is_one_image(self, project):
        project.put("images/copy.png", 10)
        plan = project.merge(
            labelled("a.png", "Mars"), labelled("a.png", "Mars", TUESDAY, tasks=(9,)), labelled("copy.png", "Mars")
        )
        assert sorted(plan["action"]) == ["add", "keep", "keep"]
        assert tree(project.raw).keys() == {"Mars/a.png", "Mars/old.png", "Moon/old.png"}
        assert list(read_lineage(project.lineage)["task"]) == ["9"], "the later of the two annotations counts"

    @pytest.mark.parametrize(
        "other", [{"label": "Moon"}, {"label": None, "status": "conflict", "reason": "they disagree"}]
    )
    def test_the_same_bytes_with_two_answers_are_a_conflict(self, project, other):
        project.put("images/copy.png", 10)
        plan = project.plan(labelled("a.png", "Mars"), labelled("copy.png", "Moon") | other, labelled("b.png", "Moon"))
        assert list(plan["action"]) == ["leave out", "leave out", "add"]
        assert "Mars" in plan["reason"][0]
        assert "copy.png" in plan["reason"][0]

    def test_the_same_bytes_skipped_once_are_no_conflict(self, project):
        project.put("images/copy.png", 10)
        skipped = labelled("copy.png", None, status="skipped", reason="skipped")
        assert list(project.plan(labelled("a.png", "Mars"), skipped)["action"]) == ["add", "leave out"]

    def test_against_a_training_set_that_did_not_come_from_labelling(self, project):
        project.put("images/a.png", 1)
        plan = project.plan(labelled("a.png", "Moon"))
        assert list(plan["action"]) == ["leave out"]
        assert "Mars/old.png" in plan["reason"][0]

    def test_what_lost_its_label_stays_and_the_plan_says_so(self, project):
        project.merge(labelled("a.png", "Mars"))
        plan = project.merge(labelled("a.png", None, status="conflict", reason="annotations disagree"))
        assert plan["reason"][0] == "annotations disagree; Mars/a.png stays in the training set"
        assert (project.raw / "Mars/a.png").exists()

    def test_different_images_of_one_name_get_distinct_names(self, project):
        for number, name in enumerate(["x/old.png", "y/old.png", "z/OLD.png"]):
            project.put(f"images/{name}", 20 + number)
        rows = [in_storage(path, "Mars") for path in ("x/old.png", "y/old.png", "z/OLD.png")]
        project.merge(*rows)
        assert set(tree(project.raw / "Mars").values()) == {
            hashlib.sha256(picture(number)).hexdigest() for number in (1, 20, 21, 22)
        }
        assert len({name.casefold() for name in tree(project.raw / "Mars")}) == 4, "on every file system"


class TestProblems:
    def test_all_of_them_in_one_message_and_nothing_changed(self, project):
        project.put("images/text.png", b"no picture")
        project.put("images/x/twice.png", 30)
        project.put("images/y/twice.png", 31)
        before = tree(project.root)
        with pytest.raises(Problem) as problem:
            project.plan(
                labelled("gone.png", "Mars", tasks=(77,)),
                labelled("text.png", "Mars"),
                labelled("twice.png", "Mars"),
                labelled("a.png", ".."),
                labelled("b.png", "mars"),
                labelled("c.png", "Marz"),
            )
        message = str(problem.value)
        for part in ("gone.png", "task 77", "text.png", "x/twice.png", "y/twice.png", "'..'", "'mars'", "'Marz'"):
            assert part in message
        assert "nearest is 'Mars'" in message
        assert "new_classes = ['Marz']" in message
        assert tree(project.root) == before

    def test_or_those_images_are_left_out(self, project):
        rows = [labelled("gone.png", "Mars"), labelled("a.png", "Marz"), labelled("b.png", "Mars")]
        plan = project.plan(*rows, on_problem="skip")
        assert list(plan["action"]) == ["leave out", "leave out", "add"]
        assert all(plan["reason"][:2])

    def test_images_without_a_label_need_no_file(self, project):
        assert list(project.plan(labelled("gone.png", None))["action"]) == ["leave out"]

    def test_an_unknown_way_to_deal_with_problems(self, project):
        with pytest.raises(Problem, match="on_problem is 'ignore'"):
            project.plan(labelled("a.png", "Mars"), on_problem="ignore")

    @pytest.mark.parametrize(
        "label",
        ["", ".", "..", "../x", "a/b", "a\\b", "/etc", " Mars", "Mars ", ".git", "Mars.", "a\nb", "a\x00b",
         "Mars\u200b", "con", "LPT1", "nul.txt", "a:b", "what?", "*", "x" * 256, "é" * 128, "\ud800"],
    )  # fmt: skip
    def test_labels_that_cannot_name_a_folder_everywhere(self, project, label):
        with pytest.raises(Problem, match="cannot be the name of a folder"):
            project.plan(labelled("a.png", label), new_classes=[label])

    @pytest.mark.parametrize("label", ["Süd-Saturn", "pl-9", "Not a planet", "木星", "🪐", "nullify", "x" * 255])
    def test_labels_that_can(self, project, label):
        project.merge(labelled("a.png", label), new_classes=[label])
        assert (project.raw / label / "a.png").exists()

    def test_case_twins_in_the_export(self, project):
        with pytest.raises(Problem, match="nothing but case") as problem:
            project.plan(labelled("a.png", "earth"), labelled("b.png", "Earth"), new_classes=["earth", "Earth"])
        assert len(problem.value.details) == 2

    def test_new_classes_are_welcome_when_named(self, project):
        plan = project.merge(labelled("a.png", "Venus"), new_classes=["Venus"])
        assert list(plan["destination"]) == ["Venus/a.png"]
        assert list(project.plan(labelled("b.png", "Venus"))["action"]) == ["add"]

    def test_an_empty_training_set_has_only_new_classes(self, tmp_path):
        project = Project(tmp_path)
        project.put("images/a.png", 1)
        with pytest.raises(Problem, match=r"new_classes = \['Mars'\]"):
            project.plan(labelled("a.png", "Mars"))
        project.merge(labelled("a.png", "Mars"), new_classes=["Mars"])
        assert tree(project.raw).keys() == {"Mars/a.png"}

    def test_no_training_set(self, project):
        shutil.rmtree(project.raw)
        with pytest.raises(Problem, match="data/raw"):
            project.plan(labelled("a.png", "Mars"))

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"no picture",
            b"\x89PNG\r\n\x1a\n",
            b"%!PS-Adobe-3.0 EPSF-3.0",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        ],
    )
    def test_files_that_are_no_pictures(self, project, content):
        project.put("images/a.png", content)
        with pytest.raises(Problem, match="no picture"):
            project.plan(labelled("a.png", "Mars"))

    @pytest.mark.parametrize("width", [10_000, 50_000])
    def test_decompression_bombs(self, project, width):
        size = struct.pack(">4sIIBBBBB", b"IHDR", width, width, 8, 2, 0, 0, 0)
        header = struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
        project.put("images/a.png", b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I4s", 0, b"IDAT") + b"\0" * 4)
        with pytest.raises(Problem, match="bomb"):
            project.plan(labelled("a.png", "Mars"))

    @pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
    def test_what_is_no_file(self, project, make):
        make(project.images / "odd.png")
        with pytest.raises(Problem, match=r"odd\.png"):
            project.plan(labelled("odd.png", "Mars"))

    def test_a_name_that_the_pipeline_would_not_take_for_a_picture(self, project):
        project.put("images/a.txt", 50)
        with pytest.raises(Problem, match=r"\.jpeg"):
            project.plan(labelled("a.txt", "Mars"))

    def test_one_name_twice_with_the_same_content_is_one_image(self, project):
        project.put("images/x/twice.png", 30)
        project.put("images/y/twice.png", 30)
        assert list(project.plan(labelled("twice.png", "Mars"))["action"]) == ["add"]

    def test_one_file_that_two_paths_of_a_storage_may_mean(self, project):
        rows = [in_storage("x/a.png", "Mars"), in_storage("y/a.png", None)]
        with pytest.raises(Problem, match=r"x/a\.png, y/a\.png"):
            project.plan(*rows)

    def test_links_to_nothing_in_the_training_set(self, project):
        (project.raw / "Mars/lost.png").symlink_to("nowhere")
        with pytest.raises(Problem, match=r"Mars/lost\.png"):
            project.plan(labelled("a.png", "Mars"))

    def test_a_class_that_is_a_link_is_not_followed(self, project, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (project.raw / "Venus").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(Problem, match="is a link"):
            project.plan(labelled("a.png", "Venus"), new_classes=["Venus"])


class TestApply:
    def test_the_images_lie_in_their_classes_and_the_lineage_tells_where_they_come_from(self, project):
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

    def test_again_changes_nothing(self, project):
        rows = [labelled("a.png", "Moon"), labelled("b.png", "Mars")]
        plan = project.merge(*rows)
        before = tree(project.root)
        project.apply(plan)
        assert tree(project.root) == before
        assert set(project.merge(*rows, export="e2")["action"]) == {"keep"}
        assert tree(project.root) == before

    def test_the_order_of_the_export_does_not_show(self, project, tmp_path_factory):
        rows = [labelled("a.png", "Moon"), labelled("b.png", "Mars"), labelled("c.png", "Mars", pd.NaT)]
        project.merge(*rows)
        other = Project(tmp_path_factory.mktemp("other"))
        shutil.copytree(project.images, other.images, dirs_exist_ok=True)
        other.merge(*reversed(rows), new_classes=["Mars", "Moon"])
        assert project.lineage.read_bytes() == other.lineage.read_bytes()

    def test_a_corrected_image_moves(self, project):
        project.merge(labelled("a.png", "Mars"), labelled("b.png", "Mars"))
        plan = project.merge(labelled("a.png", "Moon", TUESDAY), labelled("b.png", "Mars"), export="e2")
        assert list(plan["action"]) == ["move", "keep"]
        assert plan["previous"][0] == "Mars/a.png"
        assert tree(project.raw).keys() == {"Mars/old.png", "Mars/b.png", "Moon/old.png", "Moon/a.png"}
        lineage = read_lineage(project.lineage).set_index("file")
        assert lineage["label"].to_dict() == {"Mars/b.png": "Mars", "Moon/a.png": "Moon"}
        assert lineage["export_sha256"].to_dict() == {"Mars/b.png": "e1", "Moon/a.png": "e2"}

    @pytest.mark.parametrize("updated_at", [MONDAY, pd.NaT])
    def test_an_older_export_corrects_nothing(self, project, updated_at):
        project.merge(labelled("a.png", "Mars", TUESDAY))
        plan = project.merge(labelled("a.png", "Moon", updated_at))
        assert list(plan["action"]) == ["keep"]
        assert "newer" in plan["reason"][0]
        assert (project.raw / "Mars/a.png").exists()

    def test_a_label_that_was_confirmed_outlives_an_export_from_before(self, project):
        project.merge(labelled("a.png", "Mars", MONDAY))
        project.merge(labelled("a.png", "Mars", WEDNESDAY))
        assert list(project.plan(labelled("a.png", "Moon", TUESDAY))["action"]) == ["keep"]

    def test_what_somebody_moved_by_hand_is_not_moved_back(self, project):
        project.merge(labelled("a.png", "Mars"))
        (project.raw / "Mars/a.png").rename(project.raw / "Moon/a.png")
        plan = project.merge(labelled("a.png", "Mars"))
        assert list(plan["action"]) == ["leave out"]
        assert "Moon/a.png, where somebody moved" in plan["reason"][0]
        plan = project.merge(labelled("a.png", "Moon", TUESDAY))
        assert read_lineage(project.lineage)["file"].tolist() == ["Moon/a.png"], "corrected in Label Studio, too"
        assert list(project.plan(labelled("a.png", "Moon", TUESDAY))["action"]) == ["keep"]

    def test_a_class_that_loses_its_last_image_is_gone(self, project):
        project.merge(labelled("a.png", "Venus"), new_classes=["Venus"])
        project.merge(labelled("a.png", "Mars", TUESDAY))
        assert not (project.raw / "Venus").exists()

    def test_images_that_swap_classes(self, project):
        for number, name in enumerate(["x/same.png", "y/same.png"]):
            project.put(f"images/{name}", 40 + number)

        project.merge(in_storage("x/same.png", "Mars"), in_storage("y/same.png", "Moon"))
        project.merge(in_storage("x/same.png", "Moon", TUESDAY), in_storage("y/same.png", "Mars", TUESDAY))
        homes = {sha256: name.partition("/")[0] for name, sha256 in tree(project.raw).items()}
        assert homes[sha256_of(project.images / "x/same.png")] == "Moon"
        assert homes[sha256_of(project.images / "y/same.png")] == "Mars"
        assert len(tree(project.raw)) == 4

    @pytest.mark.parametrize("link", [os.symlink, os.link])
    def test_links_into_a_cache_are_never_written_through(self, project, link, tmp_path):
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

    def test_what_changed_since_the_plan_stops_it(self, project):
        project.merge(labelled("a.png", "Mars"))
        plan = project.plan(labelled("a.png", "Moon", TUESDAY), labelled("b.png", "Mars"), labelled("c.png", "Moon"))
        project.put("data/raw/Mars/b.png", 99)
        (project.raw / "Mars/a.png").unlink()
        before = tree(project.root)
        with pytest.raises(Problem, match=r"Mars/a\.png(.|\n)*Mars/b\.png"):
            project.apply(plan)
        assert tree(project.root) == before

    def test_an_image_that_changed_since_the_plan_stops_it(self, project):
        plan = project.plan(labelled("a.png", "Mars"), labelled("b.png", "Mars"))
        project.put("images/b.png", 99)
        before = tree(project.root)
        with pytest.raises(Problem, match=r"images/b\.png"):
            project.apply(plan)
        assert tree(project.root) == before

    @pytest.mark.parametrize("destination", ["../out/a.png", "/tmp/out/a.png", "/a.png", "Venus/a.png"])
    def test_a_plan_that_leads_out_is_not_followed(self, project, destination):
        (project.root / "out").mkdir()
        (project.raw / "Venus").symlink_to(project.root / "out")
        plan = project.plan(labelled("a.png", "Mars")).assign(destination=destination)
        before = tree(project.root)
        with pytest.raises(Problem, match="outside"):
            project.apply(plan)
        assert tree(project.root) == before

    def test_who_was_outvoted_did_not_give_the_label(self, project):
        people = {"annotators": ("1", "2", "3", "1"), "labels": ("Mars", "Moon", "Mars", "Mars")}
        project.merge(labelled("a.png", "Mars", **people))
        assert list(read_lineage(project.lineage)["annotators"]) == ["1 3"]

    def test_a_damaged_lineage_is_named(self, project):
        project.put("data/labels.csv", b"<<<<<<< HEAD\n")
        with pytest.raises(Problem, match=r"labels\.csv is damaged"):
            project.plan(labelled("a.png", "Mars"))

    def test_count_classes_foretells_the_counts(self, project):
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


@settings(max_examples=40, deadline=None)
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


def busy_project(root: Path) -> tuple[Project, list[dict[str, object]]]:
    """A project whose next merge adds, renames, swaps, moves, keeps, empties a class and makes one."""
    project = Project(root)
    paths = [f"{folder}/{name}.png" for folder in "xy" for name in "abcdefghi"]
    for number, path in enumerate(paths):
        project.put(f"images/{path}", number)

    first = {"x/a.png": "Mars", "y/a.png": "Moon", "x/b.png": "Pluto", "x/c.png": "Mars"}
    project.merge(*itertools.starmap(in_storage, first.items()), new_classes=["Mars", "Moon", "Pluto"])
    changed = {"x/a.png": "Moon", "y/a.png": "Mars", "x/b.png": "Mars", "x/f.png": "Venus", "y/f.png": "Venus"}
    labels = dict.fromkeys(paths, "Mars") | changed
    return project, [in_storage(path, label, TUESDAY) for path, label in labels.items()]


def merge_and_die(project: Project, rows: list[dict[str, object]], step: int) -> None:
    """Merge, and be killed just before the given step among those that change the disk."""
    steps = itertools.count()

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if (writes or event in {"os.rename", "os.mkdir", "os.rmdir", "os.remove"}) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    plan = project.plan(*rows, new_classes=["Venus"])
    sys.addaudithook(watch)
    project.apply(plan, "e2")


class TestInterruption:
    @staticmethod
    def kill_and_repeat(tmp_path: Path, step: int, *, plan_again: bool) -> bool:
        """Kill a merge at a step, look at what is left, and merge again; tell whether it ended before that step."""
        whole, again = tmp_path / "whole", tmp_path / f"{step}"
        if not whole.exists():
            project, rows = busy_project(whole)
            project.merge(*rows, export="e2", new_classes=["Venus"])
        project, rows = busy_project(again)
        plan, before = project.plan(*rows, new_classes=["Venus"]), tree(project.raw)
        child = FORKS.Process(target=merge_and_die, args=(project, rows, step))
        child.start()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)

        left = set(tree(project.raw).values())
        assert left <= set(tree(project.images).values()), "no half-written image"
        assert left >= set(before.values()), "no image lost"
        if plan_again:
            plan = project.plan(*rows, new_classes=["Venus"])
        if plan["action"].isin(CHANGES).any():
            project.apply(plan, "e2")
        assert tree(again) == tree(whole), "the same end"
        assert [path.name for path in sorted(project.raw.iterdir())] == ["Mars", "Moon", "Venus"]
        return child.exitcode == 0

    @pytest.mark.parametrize(("first", "plan_again"), [(0, True), (3, False)])
    def test_killed_here_and_there(self, tmp_path, first, plan_again):
        for step in range(first, 48, 6):
            self.kill_and_repeat(tmp_path, step, plan_again=plan_again)

    @pytest.mark.slow
    @pytest.mark.parametrize("plan_again", [True, False])
    def test_killed_at_every_step(self, tmp_path, plan_again):
        ends = (self.kill_and_repeat(tmp_path, step, plan_again=plan_again) for step in itertools.count())
        assert len(list(itertools.takewhile(lambda ended: not ended, ends))) > 40


def merge_with_little_room(project: Project, rows: list[dict[str, object]], room: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    project.merge(*rows, new_classes=["Venus"])


@pytest.mark.parametrize("room", [10, 500], ids=["for no image", "for the images, but not for the lineage"])
def test_a_full_disk_changes_nothing(tmp_path, room):
    project, rows = busy_project(tmp_path)
    before = tree(tmp_path)
    with ProcessPoolExecutor(mp_context=FORKS) as pool, pytest.raises(Problem, match="File too large"):
        pool.submit(merge_with_little_room, project, rows, room).result()
    assert tree(tmp_path) == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["labels.csv", "raw"]


@pytest.mark.skipif(not PLANETS.is_dir(), reason="the planets are not here")
def test_two_rounds_of_one_project(tmp_path):
    project = Project(tmp_path)
    shutil.copytree(PLANETS / "raw", project.raw, dirs_exist_ok=True)
    true_labels = json.loads((PLANETS / "exports/truth.json").read_text())
    before = set(tree(project.raw).values())
    for number in ("round1", "round2"):
        export = PLANETS / f"exports/{number}.JSON.json"
        plan = plan_merge(read_export(export), PLANETS / "extra", project.raw, lineage=project.lineage)
        apply_merge(plan, project.raw, project.lineage, sha256_of(export))
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
