"""Warn where images seem to come in scenes that nobody has named: their held-out images flatter every model."""

import numpy as np
import pandas as pd

from helpers.comparison.words import percent
from helpers.scenes import name_before_merge

# The folder below the class, or a name without the number at its end.
PATTERNS = (r"^(.+)/", r"^(.+?)[-_ ]+\d+\.\w+$", r"^(.*\D)\d+\.\w+$")
FEWEST_IN_A_SCENE = 3
ASKED, FEWEST_ASKED = 500, 20  # held-out images that are compared with the training images
# Measured: 49 to 99 % against 4 to 10 % by chance with scenes, 4 % against 4 % with serial numbers that mean nothing.
TIMES_CHANCE, POINTS_ABOVE = 3, 0.25
LEAST_NEAR = 0.2  # share of near-duplicates
FLATTERED = "{}, so that every figure here may flatter both models"


def warn_of_scenes(index: pd.DataFrame, hashes: np.ndarray, near: pd.DataFrame) -> str:
    """Say in sentences that images seem to come in scenes, with a pattern that names them; empty if they do not.

    `index` is that of the stage ``prepare``, without scenes, `hashes` are the perceptual hashes of its images, uint8
    [N, 32], and `near` are from `helpers.pipeline.near_duplicates.pair_near_duplicates`.

    Names alone prove nothing, because many sets are numbered. The images of a group by name are a scene if held-out
    ones look most like a training image of the same group, among all of their class, and much more often than the sizes
    of the groups explain.
    """
    paths = index["file"].str.partition("/")[2]
    names = pd.Series(map(name_before_merge, paths, index["sha256"]), index.index, dtype=object)
    for pattern in PATTERNS:
        group = index["label"] + "/" + names.str.extract(pattern, expand=False)
        sizes = group.map(group.value_counts())
        if (sizes >= FEWEST_IN_A_SCENE).mean() > 0.5:
            found, expected = _match_groups(index, group, hashes)
            if found >= max(TIMES_CHANCE * expected, expected + POINTS_ABOVE):
                count = group.nunique() + int(group.isna().sum())
                return (
                    f"{FLATTERED.format('These images seem to come in scenes')}: {percent(found)} of held-out images "
                    f"look most like a training image of the same group by name, {percent(expected)} would by chance. "
                    f"`scene: '{pattern}'` under `prepare` in params.yaml names {count:,} scenes (docs/decision.md)."
                )
    held_out = int((index["split"] == "held-out").sum())
    alike = near[near["label"] == near["like_label"]]
    if len(alike) >= max(FEWEST_ASKED, LEAST_NEAR * held_out):
        what = f"{len(alike):,} of {held_out:,} held-out images nearly equal a training image of their class"
        return (
            f"{FLATTERED.format(what)}. If images come in scenes, `scene_key` or `prepare.scene` names them "
            "(docs/decision.md)."
        )
    return ""


def _match_groups(index: pd.DataFrame, group: pd.Series, hashes: np.ndarray) -> tuple[float, float]:
    """Return the share of held-out images whose nearest training image of their class is in their group, and by chance.

    Without enough images in classes of several groups, both are 1.
    """
    training = index["split"].eq("train") & group.notna()
    several = group[training].groupby(index["label"]).nunique()
    asked = index.index[index["split"].eq("held-out") & group.notna() & index["label"].map(several).gt(1)][:ASKED]
    if len(asked) < FEWEST_ASKED:
        return 1.0, 1.0
    words, found, expected = hashes.view(np.uint64), [], []
    for label, images in index.loc[asked].groupby("label"):
        known = np.flatnonzero(training & index["label"].eq(label))
        for image in images.index:
            bits = np.bitwise_count(words[known] ^ words[image]).sum(axis=1)
            same = group.iloc[known].eq(group[image]).to_numpy()
            found.append(same[bits.argmin()])
            expected.append(same.mean())
    return float(np.mean(found)), float(np.mean(expected))
