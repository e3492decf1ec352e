"""Images of one scene are alike: wherever a figure says how sure it is, scenes count, and not their images.

`scenes` are the names of the scenes of some images, or None where each image counts by itself.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from helpers.comparison.statistics import wilson

FEWEST_SCENES = 50  # of equal size: fewer cannot show how alike the images of a scene are


class Pairs(NamedTuple):
    """The answers of two models to the same images, counted as so many independent images.

    Exactly one model is right on `fixed` (the new one) and `broken` (the old one) of `n`. Each stands for the same
    number of the `images`, which belong to so many `scenes`, 0 where each image counts by itself.
    """

    fixed: float
    broken: float
    n: float
    images: int
    scenes: int = 0


def count_pairs(scored: pd.DataFrame) -> Pairs:
    """Count the pairs of answers in scored rows of `helpers.comparison.scores.score_images`."""
    kinds, scenes = scored["flip"], scored.get("scene")
    fixed, broken = int((kinds == "fixed").sum()), int((kinds == "broken").sum())
    effect = design_effect(kinds.map({"fixed": 1, "broken": -1}).fillna(0), scenes)
    n = len(scored)
    return Pairs(fixed / effect, broken / effect, n / effect, n, count_scenes(scored))


def count_scenes(images: pd.DataFrame) -> int:
    """Count the scenes of some images; 0 where each image counts by itself."""
    return images["scene"].nunique() if "scene" in images else 0


def count_equal_scenes(scenes: Any) -> float:
    """Return the number of scenes of equal size that would tell as much as these, of which a few may be large."""
    sizes = np.bincount(pd.factorize(np.asarray(scenes))[0])
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def design_effect(values: Any, scenes: Any) -> float:
    """Return the number of images of these scenes that tell as much as one independent image: 1 or more.

    It is the ratio of the variances of the mean of `values`, [N], with and without scenes (Kish 1965, Survey Sampling).
    Where the values cannot show how alike the images of a scene are, or `count_equal_scenes` gives fewer than
    `FEWEST_SCENES`, they count as equal: each scene tells as much as one image.

    >>> design_effect([1, 1, 0, 0], ["a", "a", "b", "b"])
    2.0
    """
    if scenes is None or not len(values):
        return 1.0
    scene, _ = pd.factorize(np.asarray(scenes))
    sizes = np.bincount(scene)
    if len(sizes) == len(values):
        return 1.0
    apart, equal_scenes = np.asarray(values, float) - np.mean(values), count_equal_scenes(scenes)
    if equal_scenes < FEWEST_SCENES or not apart.any():
        return len(values) / equal_scenes
    of_scenes = (np.bincount(scene, apart) ** 2).sum() * len(sizes) / (len(sizes) - 1)
    return max(1.0, float(of_scenes / (apart**2).sum()))


def measure_shares(
    right: pd.Series, by: pd.Series, scenes: pd.Series | None, confidence: float = 0.975
) -> pd.DataFrame:
    """Measure the share of images that are right, for each value of `by`: `images`, `share` and Wilson's interval.

    Each bound, `low` and `high`, holds with this confidence, so that the default is the 95 % interval.
    """
    groups = right.groupby(by)
    hits, images = groups.sum(), groups.size()
    effects = groups.apply(lambda group: design_effect(group, None if scenes is None else scenes[group.index]))
    low, high = wilson(hits / effects, images / effects, confidence)
    return pd.DataFrame({"images": images, "share": hits / images, "low": low, "high": high})


def vote(values: pd.Series, by: pd.Series, scenes: pd.Series | None) -> pd.DataFrame:
    """Let each scene vote by the sign of the sum of its images' values, and count `won` and `lost` votes.

    `by` names a class for each image; a scene has a vote in each of its classes.
    """
    votes = pd.DataFrame({"value": values, "by": by, "scene": range(len(values)) if scenes is None else scenes})
    net = votes.groupby(["by", "scene"])["value"].sum()
    signs = pd.DataFrame({"won": net > 0, "lost": net < 0})
    return signs.groupby(level="by").sum()
