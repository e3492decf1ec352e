"""Intervals and tests for shares: of one model, and of two models on the same images."""

from itertools import count
from typing import Any

import numpy as np
from scipy.special import bdtr, bdtrc, ndtri  # scipy.stats, which calls them, takes half a second to import

CLASSES_LEVEL = 0.04  # the chance that some class of an equally good model is found to have fallen
NEW_CLASS_LEVEL = 0.05


def tango(fixed: Any, broken: Any, n: Any, difference: float) -> Any:
    """Test whether the accuracies of two models on the same `n` images differ by `difference`, new minus old.

    Only the new model gets `fixed` images right, only the old one `broken`; columns of counts are welcome. The result
    is Tango's score statistic z (1998, Statistics in Medicine 17:891), which is close to normal where the models do
    differ by that much: above 1.645, the true difference is larger, with 95 % confidence. For a difference of 0 it is
    McNemar's, (fixed − broken) / √(fixed + broken).

    >>> tango(fixed=9, broken=4, n=300, difference=-0.02)
    2.697...
    """
    # The likeliest share of broken images under this difference is the root of a quadratic equation.
    linear = (2 * n - fixed + broken) * difference - fixed - broken
    constant = -broken * difference * (1 - difference)
    share = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0)) - linear) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    # Without flips, a difference of 0 has no variance; neither has one of −1 or 1.
    return (fixed - broken - n * difference) / np.sqrt(np.maximum(variance, 1e-12))


def difference_interval(fixed: float, broken: float, n: float, confidence: float) -> tuple[float, float]:
    """Estimate the difference of two accuracies, new minus old, on the same `n` images, by inverting `tango`.

    The truth lies above the lower bound with this `confidence`, and so it does below the upper one: with 0.95, both
    bounds make a 90 % interval. Of 21 images, 1 fixed and 7 broken give −0.517 to −0.026 with a confidence of 0.975.
    """
    from scipy.optimize import brentq  # takes a third of a second

    z = ndtri(confidence)

    def lower(gained: float, lost: float) -> float:
        def excess(difference: float) -> float:
            return tango(gained, lost, n, difference) - z

        return brentq(excess, -1, (gained - lost) / n) if excess(-1) > 0 else -1.0

    return lower(fixed, broken), -lower(broken, fixed)


def find_fallen(change: Any, rose: Any, fell: Any, drop: float) -> Any:
    """Tell of each class whether its recall fell by more than `drop`, beyond chance.

    All are columns: the `change` of the recall of each class, and how many of its images, or scenes, only the new model
    (`rose`) or only the old one (`fell`) gets right. An exact sign test of these finds each fall, at a level of 4 % for
    all classes together by Tarone's version of Bonferroni's correction (1990, Biometrics 46:515). With fewer than 20
    images, it finds no fall of less than 30 points.
    """
    flips = rose + fell
    p, least = bdtrc(fell - 1, flips, 0.5), 0.5**flips
    # Only classes with enough flips to reach their share of the level count as tests, and their number sets that share.
    tests = next(k for k in count(1) if (least <= CLASSES_LEVEL / k).sum() <= k)
    return (p <= CLASSES_LEVEL / tests) & (-change > drop + 1e-9)


def is_not_learnt(right: Any, images: Any) -> Any:
    """Tell of a class whether the model errs on it more often than not, beyond chance: one-sided, at a level of 5 %."""
    return bdtr(right, images, 0.5) <= NEW_CLASS_LEVEL


def wilson(hits: Any, images: Any, confidence: float = 0.975) -> tuple[Any, Any]:
    """Return the bounds of Wilson's interval of a share, or of each share of two columns.

    Each bound holds with this confidence, so that the default is the 95 % interval.
    """
    # By formula: scipy takes one share at a time, and the import of statsmodels half a second.
    share, spread = hits / images, ndtri(confidence) ** 2 / images
    centre = share + spread / 2
    reach = np.sqrt(spread * share * (1 - share) + spread**2 / 4)
    return (centre - reach) / (1 + spread), (centre + reach) / (1 + spread)
