"""All problems with images and labels end the run in one message, before anything changes."""

import io
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from projects import MONDAY, WEDNESDAY, Project, in_storage, labelled, make_project, tree

from helpers.merge.lineage import read_lineage
from helpers.problems import Problem


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path)


def test_all_of_them_in_one_message_and_nothing_changed(project):
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


def test_or_those_images_are_left_out(project):
    rows = [labelled("gone.png", "Mars"), labelled("a.png", "Marz"), labelled("b.png", "Mars")]
    plan = project.plan(*rows, on_problem="skip")
    assert list(plan["action"]) == ["leave out", "leave out", "add"]
    assert all(plan["reason"][:2])


def test_images_without_a_label_need_no_file(project):
    assert list(project.plan(labelled("gone.png", None))["action"]) == ["leave out"]


def test_an_unknown_way_to_deal_with_problems(project):
    with pytest.raises(Problem, match="on_problem is 'ignore'"):
        project.plan(labelled("a.png", "Mars"), on_problem="ignore")


@pytest.mark.parametrize(
    "label",
    ["", ".", "..", "../x", "a/b", "a\\b", "/etc", " Mars", "Mars ", ".git", "Mars.", "a\nb", "a\x00b",
     "Mars\u200b", "con", "LPT1", "nul.txt", "a:b", "what?", "*", "x" * 256, "é" * 128, "\ud800"],
)  # fmt: skip
def test_labels_that_cannot_name_a_folder_everywhere(project, label):
    with pytest.raises(Problem, match="cannot be the name of a folder"):
        project.plan(labelled("a.png", label), new_classes=[label])


@pytest.mark.parametrize("label", ["Süd-Saturn", "pl-9", "Not a planet", "木星", "🪐", "nullify", "x" * 255])
def test_labels_that_can(project, label):
    project.merge(labelled("a.png", label), new_classes=[label])
    assert (project.raw / label / "a.png").exists()


def test_a_time_that_is_still_to_come_is_refused_with_its_tasks_and_overrules_no_correction(project):
    tomorrow, later = pd.Timestamp.now("UTC") + pd.Timedelta(hours=23), pd.Timestamp("2099-01-05", tz="UTC")
    wrong, near = labelled("a.png", "Mars", later, tasks=(7,)), labelled("b.png", "Mars", tomorrow)
    with pytest.raises(Problem, match="still to come, 2099-01-05") as problem:
        project.plan(wrong, near)
    (line,) = problem.value.details
    assert "task 7" in line
    plan = project.merge(wrong, near, on_problem="skip")
    assert plan["action"].tolist() == ["leave out", "add"]
    assert "still to come" in plan["reason"][0]
    assert project.merge(labelled("a.png", "Moon"))["action"].tolist() == ["add"]


def test_a_label_from_the_future_that_an_earlier_version_merged_can_be_corrected(project):
    project.merge(labelled("a.png", "Mars", WEDNESDAY))
    project.lineage.write_text(project.lineage.read_text().replace("2026-11-04", "2099-11-04"))
    plan = project.merge(labelled("a.png", "Moon"))
    assert plan["action"].tolist() == ["move"]
    assert read_lineage(project.lineage)["updated_at"].tolist() == [MONDAY]


def test_case_twins_in_the_export(project):
    with pytest.raises(Problem, match="nothing but case") as problem:
        project.plan(labelled("a.png", "earth"), labelled("b.png", "Earth"), new_classes=["earth", "Earth"])
    assert len(problem.value.details) == 2


def test_new_classes_are_welcome_when_named(project):
    plan = project.merge(labelled("a.png", "Venus"), new_classes=["Venus"])
    assert list(plan["destination"]) == ["Venus/a.png"]
    assert list(project.plan(labelled("b.png", "Venus"))["action"]) == ["add"]


def test_an_empty_training_set_has_only_new_classes(tmp_path):
    project = Project(tmp_path)
    project.put("images/a.png", 1)
    with pytest.raises(Problem, match=r"new_classes = \['Mars'\]"):
        project.plan(labelled("a.png", "Mars"))
    project.merge(labelled("a.png", "Mars"), new_classes=["Mars"])
    assert tree(project.raw).keys() == {"Mars/a.png"}


def test_no_training_set(project):
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
def test_files_that_are_no_pictures(project, content):
    project.put("images/a.png", content)
    with pytest.raises(Problem, match="no picture"):
        project.plan(labelled("a.png", "Mars"))


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_pictures_that_were_cut(project, form):
    """Their headers are whole: only decoding tells. The pipeline would stop at them after the merge."""
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(whole, form)
    project.put("images/a.png", whole.getvalue()[: whole.tell() // 2])
    rows = [labelled("a.png", "Mars"), labelled("b.png", "Mars")]
    with pytest.raises(Problem, match=r"a\.png is no picture"):
        project.plan(*rows)
    assert list(project.plan(*rows, on_problem="skip")["action"]) == ["leave out", "add"]


@pytest.mark.parametrize("width", [10_000, 50_000])
def test_decompression_bombs(project, width):
    size = struct.pack(">4sIIBBBBB", b"IHDR", width, width, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    project.put("images/a.png", b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I4s", 0, b"IDAT") + b"\0" * 4)
    with pytest.raises(Problem, match=r"too many|exceeds limit"):
        project.plan(labelled("a.png", "Mars"))


def test_a_picture_with_gigabytes_behind_it(project):
    project.put("images/a.png", 50)
    os.truncate(project.images / "a.png", 1 << 31)
    with pytest.raises(Problem, match="1 GiB"):
        project.plan(labelled("a.png", "Mars"))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file(project, make):
    make(project.images / "odd.png")
    with pytest.raises(Problem, match=r"odd\.png"):
        project.plan(labelled("odd.png", "Mars"))


def test_a_name_that_the_pipeline_would_not_take_for_a_picture(project):
    project.put("images/a.txt", 50)
    with pytest.raises(Problem, match=r"\.jpeg"):
        project.plan(labelled("a.txt", "Mars"))


def test_one_name_twice_with_the_same_content_is_one_image(project):
    project.put("images/x/twice.png", 30)
    project.put("images/y/twice.png", 30)
    assert list(project.plan(labelled("twice.png", "Mars"))["action"]) == ["add"]


def test_one_file_that_two_paths_of_a_storage_may_mean(project):
    rows = [in_storage("x/a.png", "Mars"), in_storage("y/a.png", None)]
    with pytest.raises(Problem, match=r"x/a\.png, y/a\.png"):
        project.plan(*rows)


def test_links_to_nothing_in_the_training_set(project):
    (project.raw / "Mars/lost.png").symlink_to("nowhere")
    with pytest.raises(Problem, match=r"Mars/lost\.png"):
        project.plan(labelled("a.png", "Mars"))


def test_a_class_that_is_a_link_is_not_followed(project, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (project.raw / "Venus").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Problem, match="is a link"):
        project.plan(labelled("a.png", "Venus"), new_classes=["Venus"])
