"""The training set is what lies in the folders of classes, the same for all who read it."""

import os
from pathlib import Path

import pytest

from helpers.files import class_of, list_files, read_training_set
from helpers.hashing import sha256_of
from helpers.merge.image_files import ImageFiles
from helpers.problems import Problem


@pytest.fixture
def raw(tmp_path) -> Path:
    """Three images in two classes, and files that belong to none."""
    elsewhere = tmp_path / "elsewhere"
    for name in ("red/1.png", "red/more/2.png", "blue/1.png", "top.png", ".trash/3.png", "red/.thumbs/4.png"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_text(name)
    (tmp_path / "raw/red/.DS_Store").touch()
    elsewhere.mkdir()
    (elsewhere / "5.png").touch()
    for link in ("raw/green", "raw/red/linked"):
        (tmp_path / link).symlink_to(elsewhere)
    return tmp_path / "raw"


def test_images_lie_in_classes_and_neither_hidden_nor_behind_links_to_folders(raw, tmp_path):
    images = read_training_set(raw, tmp_path / "hashes.json")
    assert list(images) == ["blue/1.png", "red/1.png", "red/more/2.png"]
    assert images == {name: sha256_of(raw / name) for name in images}
    assert [class_of(name) for name in images] == ["blue", "red", "red"]


def test_links_to_files_are_images(raw, tmp_path):
    (raw / "blue/6.png").symlink_to(tmp_path / "elsewhere/5.png")  # as DVC makes them if its cache is set to links
    assert "blue/6.png" in read_training_set(raw, tmp_path / "hashes.json")


def test_all_files_that_cannot_be_read_are_named(raw, tmp_path):
    (raw / "red/lost.png").symlink_to("nowhere")
    (raw / "blue/secret.png").symlink_to("/proc/self/mem")  # fails to be read, also for root
    with pytest.raises(Problem, match="2 files") as problem:
        read_training_set(raw, tmp_path / "hashes.json")
    secret, lost = problem.value.details
    assert "blue/secret.png: " in secret
    assert "red/lost.png: " in lost


@pytest.fixture
def odd(tmp_path) -> Path:
    """A folder of a class, with two files whose names are not UTF-8; not every system takes them."""
    (tmp_path / "raw/red").mkdir(parents=True)
    try:
        for name in (b"caf\xe9.png", b"\xff.png"):
            Path(os.fsdecode(os.fsencode(tmp_path) + b"/raw/red/" + name)).touch()
    except OSError:
        pytest.skip("the file system takes text alone")
    return tmp_path / "raw"


def test_all_names_in_the_training_set_that_are_no_text_are_told_before_anything_looks_at_them(odd, tmp_path):
    with pytest.raises(Problem) as problem:
        read_training_set(odd, tmp_path / "hashes.json")
    assert problem.value.details == [f"'{odd}/red/caf\\udce9.png'", f"'{odd}/red/\\udcff.png'"]
    str(problem.value).encode()


def test_a_name_that_is_no_text_is_that_of_no_image_of_an_export(odd):
    assert len(list_files(odd)) == 2
    assert ImageFiles(odd).find("/data/upload/1/01234567-caf.png", "01234567-caf.png") == []
