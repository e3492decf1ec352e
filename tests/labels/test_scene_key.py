"""A field of the tasks names the scene of an image, the same in every format."""

import pytest
from exports import UPLOAD, annotation, in_all_formats, read, task

from helpers.problems import Problem


@in_all_formats
def test_text_and_numbers_name_scenes_and_other_values_do_not(tmp_path, form):
    values = ["p 12", "  p\n12 ", 12, 12.5, "012", "", None, {"a": 1}, ["p12"], "猫"]
    tasks = [task(UPLOAD.format(n), annotation("Mars"), patient=value) for n, value in enumerate(values)]
    tasks.append(task(UPLOAD.format("last"), annotation("Moon")))
    table = read(tmp_path, *tasks, form=form, scene_key="patient")
    assert table["label"].notna().all()
    assert table["scene"].tolist() == ["p 12", "p 12", "12", "12.5", "012", "", "", "", "", "猫", ""]


@in_all_formats
def test_the_field_is_taken_neither_for_the_image_nor_for_the_label(tmp_path, form):
    """In a CSV, its text looks like the answer of a control, and an address like an image."""
    pictures = [f"https://host/video{n % 2}.jpg" for n in range(4)]
    tasks = [task(UPLOAD.format(n), annotation("Mars"), clip=pictures[n]) for n in range(4)]
    table = read(tmp_path, *tasks, form=form, scene_key="clip")
    assert table["label"].tolist() == ["Mars"] * 4
    assert table["scene"].tolist() == pictures
    assert table["file"].str.endswith(".jpg").all()
    assert table["file"].is_unique


@in_all_formats
def test_a_field_with_the_name_of_the_control_is_the_tasks_own(tmp_path, form):
    tasks = [task(UPLOAD.format(n), annotation("Mars"), choice=f"p{n}") for n in range(3)]
    with pytest.raises(Problem, match="scene_key names 'choice'"):
        read(tmp_path, *tasks, form=form, scene_key="choice", label_control="choice")
    if form != "JSON-MIN":  # where the answer takes the place of the field
        table = read(tmp_path, *tasks, form=form, scene_key="choice")
        assert table[["label", "scene"]].to_numpy().tolist() == [["Mars", "p0"], ["Mars", "p1"], ["Mars", "p2"]]


def test_an_image_with_tasks_of_several_scenes_is_in_the_first(tmp_path):
    tasks = [task(UPLOAD.format("same"), annotation("Mars"), patient=value) for value in (None, "p2", "p1")]
    assert read(tmp_path, *tasks, scene_key="patient")["scene"].tolist() == ["p2"]


@in_all_formats
def test_a_field_that_no_task_has_is_a_problem_that_names_the_others(tmp_path, form):
    with pytest.raises(Problem, match=r"(?s)no 'patient'.*Set scene_key.*video"):
        read(tmp_path, task(UPLOAD.format(1), annotation("Mars"), video="v"), form=form, scene_key="patient")


@in_all_formats
def test_without_a_key_no_image_has_a_scene(tmp_path, form):
    table = read(tmp_path, task(UPLOAD.format(1), annotation("Mars"), video={"a": 1}), form=form)
    assert table["scene"].tolist() == [""]
