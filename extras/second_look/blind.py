"""Compare how often people agree with the model where they see its opinion and where they do not."""

from math import hypot

import pandas as pd

from extras.label_studio.fields import is_blind
from helpers.comparison.counting import measure_shares
from helpers.comparison.words import count_of, percent, points


def compare_blind(table: pd.DataFrame) -> pd.DataFrame:
    """Measure on which ``share`` of ``images`` people agreed with the model: their ``label`` is its ``opinion``.

    The result is that of `measure_shares`. The rows are False, people saw the opinion, and True, they labelled
    ``blind``, as the field of the tasks' data says. A row of `table` that lacks one of the three does not count. Leave
    out labels that were accepted in bulk: nobody looked at these images.
    """
    known = table.assign(blind=table["blind"].map(is_blind)).dropna(subset=["blind", "label", "opinion"])
    return measure_shares(known["label"] == known["opinion"], known["blind"].astype(bool), known.get("scene"))


def newcombe(shares: pd.DataFrame) -> tuple[float, float]:
    """Return the 95 % interval of the difference of the two shares of `compare_blind`, first minus second.

    It is the hybrid score interval (Newcombe 1998, Statistics in Medicine 17:873, method 10).
    """
    one, other = shares["share"]
    (low, other_low), (high, other_high) = shares["low"], shares["high"]
    down, up = hypot(one - low, other_high - other), hypot(high - one, other - other_low)
    return one - other - down, one - other + up


def describe_blind(shares: pd.DataFrame) -> str:
    """Say in a sentence how much seeing the opinion changes; empty unless both kinds of images are there."""
    if len(shares) < 2:
        return ""
    seen, blind = shares["share"]
    images, blind_images = shares["images"]
    low, high = newcombe(shares)
    return (
        f"People agreed with the model on {percent(seen)} of {count_of(images, 'image')} where they saw its opinion "
        f"and on {percent(blind)} of {blind_images:,} where they did not: a difference of {points(seen - blind)} "
        f"points (95 % interval {points(low)} to {points(high)})."
    )
