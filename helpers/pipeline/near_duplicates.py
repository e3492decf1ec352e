"""Find held-out pictures that nearly equal a training picture: they flatter every model."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

NEAR = 8  # bits
PAIRS = 2**22  # that are compared at once


def pair_near_duplicates(index: pd.DataFrame, hashes: np.ndarray) -> pd.DataFrame:
    """Pair each held-out picture with the most similar training picture, if that is within `NEAR` bits.

    Near-duplicates across the split are 3.3 % of CIFAR-10's test images (Barz and Denzler 2020, J. Imaging 6:41).

    `index` has the columns `file`, `label` and `split` ('train' or 'held-out'), and perhaps `scene`: then each held-out
    scene has one pair, the nearest; `hashes`, uint8 [N, 32], are perceptual
    hashes (`helpers.pipeline.pixels`). Returns a row per pair: `file` and `label` of the held-out picture, `like` and
    `like_label` of the training picture, and the number of `bits` that differ.
    """
    # Compare distinct hashes only; the first training picture stands for all with the same hash.
    distinct, which = np.unique(hashes, axis=0, return_inverse=True)
    held_out, training = (np.flatnonzero(index["split"] == split) for split in ("held-out", "train"))
    known, first = np.unique(which[training], return_index=True)
    picture_of = np.zeros(len(distinct), np.int64)
    picture_of[known] = training[first]

    # Of the training pictures within reach, keep the one with the fewest different bits, then the first.
    words = distinct.view(np.uint64)
    nothing = (NEAR + 1) * len(index)
    nearest = np.full(len(distinct), nothing)
    for one, other in _candidates(distinct, np.unique(which[held_out]), known):
        differ = np.bitwise_count(words[one] ^ words[other]).sum(axis=1, dtype=np.int64)
        np.minimum.at(nearest, one, differ * len(index) + picture_of[other])

    # A row for each held-out picture that has a neighbour.
    pictures = held_out[nearest[which[held_out]] < nothing]
    bits, likes = np.divmod(nearest[which[pictures]], len(index))
    pairs = index.iloc[pictures][["file", "label"]].reset_index(drop=True)
    pairs[["like", "like_label"]] = index.iloc[likes][["file", "label"]].to_numpy()
    pairs = pairs.assign(bits=bits)
    if "scene" in index:
        scenes = index["scene"].to_numpy()[pictures]
        pairs = pairs.iloc[pairs.assign(scene=scenes).sort_values("bits", kind="stable").drop_duplicates("scene").index]
    return pairs.reset_index(drop=True)


def _candidates(hashes: np.ndarray, asked: np.ndarray, known: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pair row numbers from two sets, such that no pair of hashes within `NEAR` bits is missing.

    At most `NEAR` different bits leave one of `NEAR` + 1 bands of a hash as it is, so that hashes without a common band
    need no comparison. Bits are dealt out to the bands in turn, for the fine detail of many pictures is alike.
    """
    bits = np.unpackbits(hashes, axis=1)
    for number in range(NEAR + 1):
        band = np.packbits(bits[:, number :: NEAR + 1], axis=1).view(np.uint32)[:, 0]
        left = pd.DataFrame({"band": band[asked], "asked": asked})
        right = pd.DataFrame({"band": band[known], "known": known})
        # Yield all pairs of some asked rows at a time.
        count = left["band"].map(right["band"].value_counts()).fillna(0)
        for _, part in left.groupby(count.cumsum() // PAIRS):
            pairs = part.merge(right, on="band")
            yield pairs["asked"].to_numpy(), pairs["known"].to_numpy()
