"""Scenes that nobody has named are noticed, and numbered pictures that have none are not taken for some."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from public_sets import digits, garments
from round_steps import PLANETS

from helpers.comparison.unnamed_scenes import warn_of_scenes
from helpers.decode import read_upright
from helpers.pipeline.near_duplicates import pair_near_duplicates
from helpers.pipeline.pixels import perceptual_hash
from helpers.pipeline.prepare import is_held_out

NONE = pd.DataFrame({"label": [], "like_label": []})


def pictures(names: list[str], scenes: list[int], spread: int = 20) -> tuple[pd.DataFrame, np.ndarray]:
    """Pictures whose hashes differ by so many bits from that of their scene, a fifth of them held out."""
    chance = np.random.default_rng(0)
    of_scenes = chance.random((max(scenes) + 1, 256)) < 0.5
    bits = of_scenes[scenes]
    for row in bits:
        row[chance.choice(256, spread, replace=False)] ^= True
    index = pd.DataFrame(
        {
            "file": names,
            "label": [name.partition("/")[0] for name in names],
            "sha256": [f"{number:064x}" for number in range(len(names))],
            "split": np.where(chance.random(len(names)) < 0.2, "held-out", "train"),
        }
    )
    return index, np.packbits(bits, axis=1)


SCENES = [number // 5 for number in range(400)]


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("{label}/cam{scene}_{frame:03}.png", r"^(.+?)[-_ ]+\d+\.\w+$"),
        ("{label}/a1b2c3d4-cam{scene}_{frame:03}.png", r"^(.+?)[-_ ]+\d+\.\w+$"),
        ("{label}/patient {scene} left {frame}.jpeg", r"^(.+?)[-_ ]+\d+\.\w+$"),
        ("{label}/{scene}x{frame}.png", r"^(.*\D)\d+\.\w+$"),
        ("{label}/video{scene}/{number:05}.png", "^(.+)/"),
    ],
)
def test_scenes_that_names_tell_are_noticed_with_a_pattern_that_names_them(form, pattern):
    names = [
        form.format(label="ab"[scene % 2], scene=scene, frame=number % 5, number=number)
        for number, scene in enumerate(SCENES)
    ]
    warning = warn_of_scenes(*pictures(names, SCENES), NONE)
    assert f"`scene: '{pattern}'` under `prepare` in params.yaml names 80 scenes" in warning


@pytest.mark.parametrize(
    "form", ["{label}/{number}.png", "{label}/{label}_{number:04}.png", "{label}/IMG_{half}_{number}.png"]
)
def test_serial_numbers_of_pictures_that_are_not_alike_are_no_scenes(form):
    names = [form.format(label="ab"[n % 2], number=n, half=n // 5) for n in range(400)]
    assert warn_of_scenes(*pictures(names, list(range(400))), NONE) == ""


def test_kinds_within_a_class_are_no_scenes():
    """Animals with the names of two species: most look like their own, but a hundred of each are no scene."""
    kinds = [number % 2 for number in range(400)]
    names = [f"animal/{('cat', 'dog')[kind]}_{number}.png" for number, kind in enumerate(kinds)]
    assert warn_of_scenes(*pictures(names, kinds, spread=60), NONE) == ""


def test_many_near_duplicates_of_one_class_are_told_where_names_tell_nothing():
    index, hashes = pictures([f"a/{number * 7919 % 10007:x}.png" for number in range(400)], list(range(400)))
    held_out = int((index["split"] == "held-out").sum())
    near = pd.DataFrame({"label": ["a"] * 30, "like_label": ["a"] * 30})
    warning = warn_of_scenes(index, hashes, near)
    assert warning.startswith(f"30 of {held_out} held-out images nearly equal a training image of their class")
    assert warn_of_scenes(index, hashes, near[:12]) == ""
    assert warn_of_scenes(index, hashes, near.assign(like_label="b")) == ""


def test_a_handful_of_pictures_tells_nothing():
    names = [f"a/cam{number // 4}_{number}.png" for number in range(40)]
    assert warn_of_scenes(*pictures(names, [number // 4 for number in range(40)]), NONE) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "garments", "planets"])
def test_public_sets_of_numbered_pictures_give_no_warning(name):
    if name == "planets":
        if not PLANETS.is_dir():
            pytest.skip("needs ../shared/planets")
        files = sorted((PLANETS / "raw").rglob("*.jpg"))
        labels, hashes = [file.parent.name for file in files], [perceptual_hash(read_upright(f, 32)) for f in files]
    else:
        pixels, classes = digits() if name == "digits" else garments()
        width = int(pixels.shape[1] ** 0.5)
        labels = [str(label) for label in classes]
        hashes = [
            perceptual_hash(Image.fromarray((255 * image).astype(np.uint8).reshape(width, width))) for image in pixels
        ]
    index = pd.DataFrame({"label": labels, "sha256": [f"{number:064x}" for number in range(len(labels))]})
    index["split"] = np.where([is_held_out(sha256, 42, 0.2) for sha256 in index["sha256"]], "held-out", "train")
    for form in ("{}/{}.png", "{}/img_{}.png", "{}/{:05}.png"):
        index["file"] = [form.format(label, number) for number, label in enumerate(labels)]
        near = pair_near_duplicates(index, np.stack(hashes))
        assert warn_of_scenes(index, np.stack(hashes), near) == ""
