"""Compare how often people agree with the model where they see its opinion and where they do not."""

from math import hypot

import pandas as pd

from helpers.comparison.statistics import wilson
from helpers.comparison.words import count_of, percent, points


def compare_blind(table: pd.DataFrame) -> pd.DataFrame:
    """Count how often people's ``label`` is the ``opinion`` of the model, by whether they labelled ``blind``.

    A row of `table` that lacks one of the three does not count. Leave out labels that were accepted in bulk: nobody
    looked at these images. Returns rows ``seen`` and ``blind``, as far as there are images, with the number of
    ``images``, how many ``agreed``, their ``share`` and the bounds ``low`` and ``high`` of its 95 % interval.
    """
    known = table.dropna(subset=["blind", "label", "opinion"])
    agreed = (known["label"] == known["opinion"]).groupby(known["blind"].map({False: "seen", True: "blind"}))
    rows = pd.DataFrame({"images": agreed.size(), "agreed": agreed.sum()})
    low, high = wilson(rows["agreed"], rows["images"])
    return rows.assign(share=rows["agreed"] / rows["images"], low=low, high=high).sort_index(ascending=False)


def newcombe(one: dict, other: dict) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two independent shares, from each ``share``, ``low`` and ``high``.

    It is the hybrid score interval (Newcombe 1998, Statistics in Medicine 17:873, method 10).
    """
    difference = one["share"] - other["share"]
    down = hypot(one["share"] - one["low"], other["high"] - other["share"])
    up = hypot(one["high"] - one["share"], other["share"] - other["low"])
    return difference - down, difference + up


def describe_blind(rows: pd.DataFrame) -> str:
    """Say in a sentence how much seeing the opinion changes; empty unless both kinds of images are there."""
    if len(rows) < 2:
        return ""
    seen, blind = rows.to_dict("records")
    difference, low, high = map(points, (seen["share"] - blind["share"], *newcombe(seen, blind)))
    return (
        f"People agreed with the model on {percent(seen['share'])} of {count_of(seen['images'], 'image')} where "
        f"they saw its opinion and on {percent(blind['share'])} of {blind['images']:,} where they did not: a "
        f"difference of {difference} points (95 % interval {low} to {high})."
    )
