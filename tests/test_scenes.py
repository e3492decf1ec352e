"""Scenes have names that are stable as data grows, and their record is checked."""

import hashlib

import pandas as pd
import pytest

from helpers.problems import Problem
from helpers.scenes import name_scenes, read_scenes, record_scenes, write_scenes

FRAMES = r"^(.+?)[-_ ]\d+\.\w+$"


def content(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def test_names_survive_the_record_whatever_they_hold(tmp_path):
    file = tmp_path / "scenes.csv"
    scenes = {content(name): name for name in ('a "b", c', "NA", "007", "猫", "None", " x", "a\nb")}
    write_scenes(file, scenes)
    assert read_scenes(file) == scenes
    assert [path.name for path in tmp_path.iterdir()] == ["scenes.csv"]


def test_no_record_is_one_without_scenes(tmp_path):
    assert read_scenes(tmp_path / "scenes.csv") == {}
    write_scenes(tmp_path / "scenes.csv", {})
    assert (tmp_path / "scenes.csv").read_bytes() == b"sha256,scene\n"


@pytest.mark.parametrize("line", ["<<<<<<< HEAD", "abc,cam3", f"{'a' * 64},", f"{'a' * 64},cam3,extra"])
def test_a_damaged_record_is_refused_with_its_lines(tmp_path, line):
    file = tmp_path / "scenes.csv"
    file.write_text(f"sha256,scene\n{'b' * 64},cam1\n{line}\n")
    with pytest.raises(Problem, match="line 3") as problem:
        read_scenes(file)
    assert len(problem.value.details) == 1
    for content in (b"", b"sha256,scene\n" + b"a" * 64 + b",caf\xe9\n"):
        file.write_bytes(content)
        with pytest.raises(Problem, match="is damaged"):
            read_scenes(file)


def test_after_a_git_merge_of_two_records_the_first_scene_of_a_content_counts(tmp_path):
    file = tmp_path / "scenes.csv"
    file.write_text(f"sha256,scene\n{'b' * 64},ours\n{'b' * 64},theirs\n")
    assert read_scenes(file) == {"b" * 64: "ours"}


@pytest.mark.parametrize(
    ("name", "scene"),
    [
        ("cam3_0007.jpg", "cam3"),
        ("cam 3-0007.jpeg", "cam 3"),
        ("a1b2c3d4-cam3_0007.jpg", "cam3"),  # an upload
        (f"cam3_0007-{content('x')[:8]}.jpg", "cam3"),  # whose name was taken
        (f"a1b2c3d4-cam3_0007-{content('x')[:8]}-2.jpg", "cam3"),
        ("day/cam3_0007.jpg", "day/cam3"),
        ("map.jpg", None),
    ],
)
def test_a_pattern_names_the_scene_of_a_file_as_it_was_called_before_the_merge(name, scene):
    assert name_scenes([(name, content("x"))], {}, FRAMES).get(content("x")) == scene


def test_the_record_counts_before_the_pattern_and_nothing_is_named_without_either():
    images = [("cam3_1.jpg", content("x")), ("cam3_2.jpg", content("y"))]
    assert name_scenes(images, {content("x"): "p12"}, FRAMES) == {content("x"): "p12", content("y"): "cam3"}
    assert name_scenes(images, {content("z"): "p12"}, "") == {}
    assert name_scenes(images, {}, r"^(cam9)?") == {}


def test_a_content_that_has_two_names_is_in_one_scene():
    images = [("map.jpg", content("x")), ("cam1_1.jpg", content("x")), ("cam2_1.jpg", content("x"))]
    assert name_scenes(images, {}, FRAMES) == {content("x"): "cam1"}


def test_a_merge_records_scenes_of_images_that_come_or_stay_and_the_first_name_remains():
    plan = pd.DataFrame(
        [
            ("w", "one", "add"),
            ("w", "two", "keep"),
            ("x", "three", "keep"),
            ("y", "four", "leave out"),
            ("z", "", "add"),
        ],
        columns=["sha256", "scene", "action"],
    )
    assert record_scenes({"x": "earlier", "v": "other"}, plan) == {"w": "one", "x": "earlier", "v": "other"}
