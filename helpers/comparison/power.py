"""The power of a held-out set: which models it can accept, and how far luck goes when it judges several."""

from math import isfinite, sqrt

from scipy.special import ndtr, ndtri  # the normal distribution and its inverse

from helpers.comparison.counting import Pairs
from helpers.comparison.policy import DecideParams
from helpers.comparison.words import describe_images

ASSUMED = 0.03  # share of the images that exactly one of two models gets right, where none was seen
USUAL = 0.8  # the chance of passing that is called enough


def estimate_flips(pairs: Pairs) -> float:
    """Estimate the share of images that exactly one of two models gets right; without any, it is assumed."""
    flips = pairs.fixed + pairs.broken
    return (flips + 1) / (pairs.n + 2) if flips else ASSUMED


def describe_power(pairs: Pairs, policy: DecideParams) -> str:
    """Say in a sentence how often an equally good model passes with these images, and with how many it usually does.

    >>> describe_power(Pairs(fixed=8, broken=3, n=300, images=300), DecideParams())
    'With 300 held-out images, an equally good model passes in about 47 % of cases; with 700 in 80 %.'
    """
    flips = estimate_flips(pairs)
    chance = chance_of_passing(pairs.n, flips, policy.margin, policy.confidence)
    enough = images_to_pass(flips, policy.margin, policy.confidence)
    these = describe_images(pairs.images, pairs.scenes)
    text = f"With {these}, an equally good model passes in about {100 * chance:.0f} % of cases"
    if chance < USUAL and isfinite(enough):
        needed = enough / pairs.n * (pairs.scenes or pairs.images)
        text += f"; with {float(f'{needed:.2g}'):,.0f}{' scenes' if pairs.scenes else ''} in {100 * USUAL:.0f} %"
    if not pairs.fixed + pairs.broken:
        text += f", if both models differ on {100 * ASSUMED:.0f} % of the images, which is assumed here"
    return f"{text}."


def chance_of_passing(n: float, flips: float, margin: float, confidence: float) -> float:
    """Return the chance that an equally good model passes the rule `margin` with `n` images.

    `flips` is the share of images that exactly one of the models gets right. The formula is the normal approximation of
    `helpers.comparison.statistics.tango`; it is within 1.1 points of the exact chance on average from 150 images on.
    """
    reach = ndtri(confidence) * sqrt(_flips_at_margin(flips, margin))
    return float(ndtr((margin * sqrt(n) - reach) / sqrt(flips)))


def gain_to_pass(n: float, flips: float, margin: float, confidence: float) -> float:
    """Return the gain in accuracy with which a model passes the rule `margin` in 80 % of cases; see above."""
    reach = ndtri(confidence) * sqrt(_flips_at_margin(flips, margin)) + ndtri(USUAL) * sqrt(flips)
    return float(reach / sqrt(n) - margin)


def images_to_pass(flips: float, margin: float, confidence: float) -> float:
    """Return the number of images with which an equally good model passes in 80 % of cases; infinite without a margin.

    >>> images_to_pass(flips=0.04, margin=0.02, confidence=0.95)
    701.6...
    """
    if not margin:
        return float("inf")
    return ((gain_to_pass(1, flips, margin, confidence) + margin) / margin) ** 2


def luck_of_the_best(models: int, flips: float, n: float) -> float:
    """Return how much better than it is the best of several equally good models looks on `n` images, by luck alone.

    Blom's approximation of the largest of normal deviates (1958, Statistical Estimates and Transformed Beta-Variables).
    """
    return float(ndtri((models - 0.375) / (models + 0.25)) * sqrt(flips / (2 * n)))


def _flips_at_margin(flips: float, margin: float) -> float:
    """The share of flips that Tango's test expects of a model that is worse by the margin."""
    return (flips + sqrt(flips**2 + 4 * margin**2)) / 2
