"""Images of a scene stay together: on one side, from run to run, and as one among near-duplicates."""

import hashlib
from contextlib import chdir

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from helpers.pipeline import prepare
from helpers.pipeline.near_duplicates import pair_near_duplicates
from helpers.pipeline.params import PrepareParams, read_params
from helpers.pipeline.paths import INDEX, RAW, SCENES
from helpers.pipeline.prepare import index_images, is_held_out
from helpers.problems import Problem
from helpers.scenes import write_scenes

FRAMES = PrepareParams(scene=r"^(.+?)_\d+\.png$")


def content(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def frames(scenes: int, per_scene: int) -> dict[str, str]:
    names = [f"{'ab'[scene % 2]}/cam{scene}_{frame}.png" for scene in range(scenes) for frame in range(per_scene)]
    return {name: content(name) for name in names}


def test_without_named_scenes_the_index_is_that_of_before():
    images = frames(20, 5)
    recorded = {content("gone"): "cam1"}  # of an image that is not there any more
    index = index_images(images, recorded, PrepareParams())
    assert index.columns.tolist() == ["file", "label", "split", "sha256"]
    held_out = [is_held_out(sha256, 42, 0.2) for sha256 in images.values()]
    assert index["split"].eq("held-out").tolist() == held_out


def test_all_images_of_a_scene_are_on_the_side_that_its_name_decides():
    index = index_images(frames(50, 6), {}, FRAMES)
    assert index.groupby("scene")["split"].nunique().eq(1).all()
    assert index["scene"].nunique() == 50
    expected = index["scene"].map(lambda scene: is_held_out(scene, 42, 0.2))
    assert index["split"].eq("held-out").equals(expected)
    assert 0 < expected.mean() < 1


def test_a_scene_that_grows_is_renamed_or_is_relabelled_stays_on_its_side():
    before = index_images(frames(30, 3), {}, FRAMES).set_index("scene")["split"]
    grown = {name.replace("a/", "b/"): sha256 for name, sha256 in frames(60, 9).items()}
    after = index_images(grown, {}, FRAMES).drop_duplicates("scene").set_index("scene")["split"]
    assert after[before.index].equals(before)


def test_a_recorded_scene_counts_before_the_pattern_and_other_images_count_alone():
    images = frames(2, 2) | {"a/map.png": content("map")}
    index = index_images(images, {content("a/cam0_1.png"): "p12"}, FRAMES).set_index("file")["scene"]
    assert index.to_dict() == {
        "a/cam0_0.png": "cam0",
        "a/cam0_1.png": "p12",
        "b/cam1_0.png": "cam1",
        "b/cam1_1.png": "cam1",
        "a/map.png": content("map"),
    }


def test_a_pattern_that_fits_no_name_is_a_problem_with_examples():
    with pytest.raises(Problem, match=r"(?s)fits the name of no image.*cam0_0\.png"):
        index_images(frames(2, 2), {}, PrepareParams(scene=r"^(video\d+)-"))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("^(cam", "no regular expression"), (r"^cam\d+", "has 0 groups"), (r"^(cam)(\d+)", "has 2 groups"), ("", "0 gro")],
)
def test_a_setting_that_is_no_pattern_of_one_group_is_named(tmp_path, pattern, said):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"prepare": {"scene": pattern}}))
    with pytest.raises(Problem, match=rf"prepare\.scene = .*{said}"):
        read_params(PrepareParams, tmp_path / "params.yaml")


def test_the_stage_reads_the_record_and_the_setting(trained, capsys):
    settings = yaml.safe_load((trained / "params.yaml").read_text())
    settings["prepare"]["scene"] = r"^(\d)\d\.png$"  # 10 to 19 are one scene, and so on
    (trained / "params.yaml").write_text(yaml.safe_dump(settings))
    one = hashlib.sha256((trained / RAW / "dark/10.png").read_bytes()).hexdigest()
    write_scenes(trained / SCENES, {one: "p12"})
    prepare.main()
    index = pd.read_csv(trained / INDEX, dtype=str).set_index("file")["scene"]
    assert index["dark/10.png"] == "p12"
    assert index["bright/10.png"] == index["dark/29.png"].replace("2", "1") == "1"
    assert len(index["dark/7.png"]) == 64
    assert "60 images of 2 classes in 23 scenes" in capsys.readouterr().out


def test_scenes_that_leave_nothing_to_hold_out_are_a_problem(tmp_path):
    for label in "ab":
        (tmp_path / RAW / label).mkdir(parents=True)
        for number in range(9):
            Image.new("L", (8, 8), 9 * number + ord(label)).save(tmp_path / RAW / label / f"video_{number}.png")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"prepare": {"scene": r"^(video)_"}}))
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    with chdir(tmp_path), pytest.raises(Problem, match=r"2 classes in 1 scene, .* of them held out"):
        prepare.main()


def test_near_duplicates_across_scenes_are_told_once_for_each_scene():
    hashes = np.zeros((6, 32), np.uint8)
    hashes[3, 0] = 1  # a bit further from the training picture
    hashes[5] = 255
    split = ["train", "train", "held-out", "held-out", "held-out", "held-out"]
    index = pd.DataFrame({"file": list("abcdef"), "label": "x", "split": split})
    assert pair_near_duplicates(index, hashes)["file"].tolist() == ["c", "d", "e"]
    near = pair_near_duplicates(index.assign(scene=["s", "t", "u", "u", "v", "w"]), hashes)
    assert near["file"].tolist() == ["c", "e"]
    assert near["bits"].tolist() == [0, 0]
    flipped = pair_near_duplicates(index.assign(scene=["s", "t", "u", "u", "v", "w"]), hashes[[0, 1, 3, 2, 4, 5]])
    assert flipped["file"].tolist() == ["d", "e"]
