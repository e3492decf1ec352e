"""Estimate what the new data brought, from the answers of several models of the old data and of the new."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from helpers.comparison.counting import design_effect


class Brought(NamedTuple):
    """The change of accuracy that the new data brought, with its 95 % interval, and the number of models behind it."""

    difference: float
    low: float
    high: float
    models: tuple[int, int]  # of the old data, of the new


def estimate_brought(old: np.ndarray, new: np.ndarray, scenes: pd.Series | None = None) -> Brought:
    """Estimate the change of accuracy that the new data brought, apart from the chance of single trainings.

    `old` and `new` tell which images the models of the old and the new data get right: bool [models, images], three
    models or more in all. `scenes` name the scene of each image; None: each counts by itself. The 95 % interval adds
    the variance over the images and that over the seeds, with degrees of freedom by Welch and Satterthwaite: two models
    of the same data are not expected to differ, but they do (Bouthillier et al. 2021, arXiv 2103.03098).
    """
    counts, gains = np.array([len(old), len(new)]), new.mean(axis=0) - old.mean(axis=0)
    images = len(gains) / design_effect(gains, scenes)  # as many as if they were independent
    # Equal answers do not mean that the next image will have them, too.
    of_images = max(gains.var(ddof=1) / images, 2 / (images + 2) ** 2)

    accuracies = [side.mean(axis=1) for side in (old, new)]
    freedom = counts.sum() - 2
    pooled = sum(((side - side.mean()) ** 2).sum() for side in accuracies) / freedom
    of_seeds = pooled * (1 / counts).sum()

    variance = of_images + of_seeds
    freedom = variance**2 / (of_seeds**2 / freedom + of_images**2 / max(1, images - 1))
    reach = np.sqrt(variance) * stdtrit(freedom, 0.975)  # Student's t
    difference = float(gains.mean())
    return Brought(difference, float(difference - reach), float(difference + reach), (len(old), len(new)))
