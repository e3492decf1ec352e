"""Held-out pictures that nearly equal a training picture are found, and others are not."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from helpers.decode import read_upright
from helpers.pipeline.near_duplicates import pair_near_duplicates
from helpers.pipeline.pixels import perceptual_hash


def picture(seed: int) -> Image.Image:
    """Detail at every scale, as photographs have; each seed gives another one."""
    coarse = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC)


def recompressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return Image.open(file)


def smaller(image: Image.Image) -> Image.Image:
    return image.resize((96, 96), Image.Resampling.LANCZOS)


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.05)


@pytest.mark.parametrize("change", [recompressed, smaller, brighter])
def test_a_changed_copy_across_the_split_is_found_with_its_original(change):
    pictures = [picture(seed) for seed in range(40)] + [change(picture(7))]
    index = pd.DataFrame(
        {
            "file": [f"{number}.png" for number in range(41)],
            "label": ["Moon"] * 40 + ["Mars"],
            "split": ["train"] * 30 + ["held-out"] * 11,
        }
    )
    near = pair_near_duplicates(index, np.stack([perceptual_hash(image) for image in pictures]))
    assert near[["file", "label", "like", "like_label"]].to_numpy().tolist() == [["40.png", "Mars", "7.png", "Moon"]]
    assert near["bits"].between(0, 8).all()


def test_drawings_on_a_transparent_ground_are_told_apart_by_the_drawing():
    hashes = []
    for seed in (1, 2):
        drawing, file = Image.new("RGBA", (128, 128), "black"), io.BytesIO()
        drawing.putalpha(picture(seed).convert("L"))
        drawing.save(file, "PNG")
        hashes.append(perceptual_hash(read_upright(file, 32)))
    index = pd.DataFrame({"file": list("ab"), "label": "x", "split": ["train", "held-out"]})
    assert pair_near_duplicates(index, np.stack(hashes)).empty


def test_copies_on_the_same_side_do_no_harm():
    hashes = np.stack([perceptual_hash(picture(seed)) for seed in (1, 1, 2, 2)])
    index = pd.DataFrame({"file": list("abcd"), "label": "x", "split": ["train", "train", "held-out", "held-out"]})
    near = pair_near_duplicates(index, hashes)
    assert near.empty
    assert list(near.columns) == ["file", "label", "like", "like_label", "bits"]


def plain_loop(index: pd.DataFrame, hashes: np.ndarray) -> list[list[object]]:
    """Compare each held-out picture with each training picture."""
    training = np.flatnonzero(index["split"] == "train")
    pairs = []
    for number in np.flatnonzero(index["split"] == "held-out"):
        bits = np.bitwise_count(hashes[training] ^ hashes[number]).sum(axis=1)
        if bits.min() <= 8:
            like = training[bits.argmin()]
            pairs.append([*index.loc[number, ["file", "label"]], *index.loc[like, ["file", "label"]], bits.min()])
    return pairs


@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(0, 12), st.booleans())
def test_the_pairs_are_those_of_the_plain_loop(seed, originals, most, flat):
    """Copies of a few pictures, with some bits changed; of flat pictures all hashes are nearly alike."""
    chance = np.random.default_rng(seed)
    bits = np.zeros((originals, 256), bool) if flat else chance.random((originals, 256)) < 0.5
    bits = bits[chance.integers(0, originals, 120)]
    for row in bits:
        row[chance.choice(256, chance.integers(0, most + 1), replace=False)] ^= True
    index = pd.DataFrame(
        {
            "file": [f"{number}.png" for number in range(120)],
            "label": chance.choice(list("ab"), 120),
            "split": chance.choice(["train", "held-out"], 120),
        }
    )
    hashes = np.packbits(bits, axis=1)
    assert pair_near_duplicates(index, hashes).to_numpy().tolist() == plain_loop(index, hashes)
