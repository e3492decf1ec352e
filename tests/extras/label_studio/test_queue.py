"""The order in which people label: the least certain first, chance among them, near-duplicates last."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from extras.label_studio.queue import draw, find_near_duplicates, group_alike, order_queue, read_images, read_trained
from helpers.labels.fields import LEAST_CERTAIN
from helpers.pipeline.input import Input
from helpers.pipeline.paths import RAW
from helpers.problems import Problem


@pytest.fixture
def folder(tmp_path):
    """Ten pictures that have nothing in common."""
    chance = np.random.default_rng(0)
    for number in range(10):
        Image.fromarray(chance.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def confidences(number: int) -> pd.Series:
    """Of so many pictures, each with a content of its own."""
    names = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(number)]
    return pd.Series(np.random.default_rng(1).uniform(0.3, 1, number), names)


def test_the_least_certain_come_first():
    confidence = confidences(50)

    queue = order_queue(confidence, [], random_share=0)

    assert list(queue.index) == list(confidence.sort_values().index)
    assert queue["queue"].is_monotonic_increasing


def test_chance_has_its_share_of_every_part_of_the_queue():
    queue = order_queue(confidences(5000), [], random_share=0.2)

    for part in np.array_split(queue["reason"] == "chance", 10):
        assert part.mean() == pytest.approx(0.2, abs=0.02)


def test_chance_does_not_prefer_what_the_model_is_certain_or_uncertain_of():
    confidence = confidences(5000)

    picked = order_queue(confidence, [], random_share=0.2).query("reason == 'chance'").index

    assert confidence[picked].mean() == pytest.approx(confidence.mean(), abs=0.02)


def test_chance_picks_the_same_pictures_again_and_among_others():
    confidence = confidences(100)

    queue = order_queue(confidence, [], random_share=0.2)
    again = order_queue(confidence[::-1], [], random_share=0.2)
    fewer = order_queue(confidence[:50], [], random_share=0.2)

    pd.testing.assert_frame_equal(queue, again)
    assert fewer["reason"].equals(queue["reason"].reindex(fewer.index))


def test_near_duplicates_of_labelled_pictures_come_last():
    confidence = confidences(20)
    near = list(confidence.nsmallest(3).index)

    queue = order_queue(confidence, near, random_share=0.2)

    assert list(queue.index[-3:]) == near
    assert set(queue["reason"][-3:]) == {"near-duplicate"}


def test_of_random_and_of_uncertain_images_the_same_share_is_labelled_blind():
    queue = order_queue(confidences(5000), [], random_share=0.2)

    blind = pd.Series(draw(queue.index, "blind_share", 0.1), queue.index)

    assert blind.groupby(queue["reason"]).mean().tolist() == pytest.approx([0.1, 0.1], abs=0.02)


def test_the_same_images_are_labelled_blind_again_and_among_others():
    contents = confidences(1000).index

    blind = draw(contents, "blind_share", 0.1)

    assert 0.07 < blind.mean() < 0.13
    assert draw(contents[::-1], "blind_share", 0.1).tolist() == blind[::-1].tolist()
    assert draw(contents[:50], "blind_share", 0.1).tolist() == blind[:50].tolist()
    assert draw(contents, "blind_share", 0.2)[blind].all()
    assert (draw(contents, "blind_share", 0).any(), draw(contents, "blind_share", 1).all()) == (False, True)


def test_the_least_certain_are_not_the_same_picture_thirty_times():
    confidence = confidences(60)
    alike = np.array([0] * 30 + list(range(1, 31)))
    confidence[:30] /= 10  # thirty of a kind are the least certain

    queue = order_queue(confidence, [], random_share=0, alike=alike)

    group = dict(zip(confidence.index, alike, strict=True))
    assert {group[sha256] for sha256 in queue.index[:31]} == set(range(31))
    assert [group[sha256] for sha256 in queue.index[31:]] == [0] * 29
    assert queue.index[0] == confidence.idxmin()
    assert confidence[queue.index[31:]].is_monotonic_increasing


def test_one_image_of_each_scene_comes_before_the_next_whoever_chose_it():
    confidence = confidences(300)
    scenes = pd.Series([f"cam{number % 30}" for number in range(300)], confidence.index)
    queue = order_queue(confidence, [], random_share=0.2, scenes=scenes)
    seen = scenes[queue.index].groupby(scenes[queue.index]).cumcount()
    assert seen.head(30).eq(0).mean() > 0.9
    least = queue[queue["reason"] == LEAST_CERTAIN].index
    order = order_queue(confidence[least], [], random_share=0, scenes=scenes[least])
    turns = scenes[order.index].groupby(scenes[order.index]).cumcount()
    assert turns.is_monotonic_increasing
    alone = pd.Series(confidence.index, confidence.index)
    assert order_queue(confidence, [], 0.2, scenes=alone).equals(order_queue(confidence, [], 0.2))


def test_alike_pictures_are_grouped():
    centres = np.eye(5, 20, dtype=np.float32)
    features = np.repeat(centres, 40, axis=0) + np.random.default_rng(0).normal(0, 0.01, (200, 20)).astype(np.float32)
    groups = group_alike(features).reshape(5, 40)
    assert not set(groups[0]) & set(groups[1:].ravel())
    assert len(group_alike(features[:3])) == 3


def test_an_empty_queue_is_one():
    assert order_queue(confidences(0), [], random_share=0.2).empty


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_lies_between_0_and_1(share):
    with pytest.raises(Problem, match="random_share"):
        order_queue(confidences(3), [], share)
    with pytest.raises(Problem, match="blind_share"):
        draw(confidences(3).index, "blind_share", share)


def test_pictures_of_equal_content_are_one(folder):
    shutil.copy(folder / "3.png", folder / "copy.png")

    pictures = read_images(folder, folder, Input(64))

    assert len(pictures) == 10
    assert pictures.loc[hashlib.sha256((folder / "3.png").read_bytes()).hexdigest(), "file"] == "3.png"


def test_what_is_no_picture_is_left_out_and_said(folder, caplog):
    (folder / "annotations.json").write_text("[]")
    (folder / "broken.png").write_bytes((folder / "3.png").read_bytes()[:-2000])
    (folder / "empty.jpg").touch()

    pictures = read_images(folder, folder, Input(64))

    assert len(pictures) == 10
    assert "broken.png is no picture" in caplog.text
    assert "empty.jpg is no picture" in caplog.text


def test_the_training_set_is_what_lies_in_its_classes(folder, tmp_path_factory):
    """An image beside or hidden in them was never trained on, and people may still label it."""
    root = tmp_path_factory.mktemp("workspace")
    for number, name in enumerate(["red/0.png", "red/more/1.odd", "top.png", ".trash/3.png", "red/.thumbs/4.png"]):
        (root / RAW / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / f"{number}.png", root / RAW / name)
    assert read_trained(root, Input(64))["file"].tolist() == ["red/0.png", "red/more/1.odd"]


def test_a_picture_saved_again_is_a_near_duplicate(folder, tmp_path_factory):
    labelled = tmp_path_factory.mktemp("labelled")
    with Image.open(folder / "7.png") as image:
        image.convert("RGB").save(labelled / "again.jpg", quality=95)

    pictures, others = read_images(folder, folder, Input(64)), read_images(labelled, labelled, Input(64))

    assert pictures.loc[find_near_duplicates(pictures, others), "file"].tolist() == ["7.png"]
    assert find_near_duplicates(pictures, others[:0]) == []
