"""The rules that a new model has to meet, apart from those of extras; docs/decision.md gives the reason for each."""

import pandas as pd

from helpers.comparison.policy import DecideParams
from helpers.comparison.power import estimate_flips, gain_to_pass
from helpers.comparison.record import Rule
from helpers.comparison.scores import Comparison
from helpers.comparison.statistics import difference_interval, find_fallen, is_not_learnt
from helpers.comparison.tables import count_flips
from helpers.comparison.words import count_of, interval_name, listed, percent, points

FEWEST_IMAGES = 6  # with fewer, an interval says nothing: its formula is for many
FEWEST_OF_A_CLASS = 5  # of four images of a new class, even none right may be chance


def list_rules(comparison: Comparison) -> list[Rule]:
    """Apply the rules to a comparison; a first model, or too few images, have to meet the first one alone."""
    n, total, policy = len(comparison.scored), len(comparison.scores), comparison.policy
    rules = [Rule("enough", n >= FEWEST_IMAGES, f"{n} of {total} images scored; {FEWEST_IMAGES} are needed.")]
    if n >= FEWEST_IMAGES and "old" in comparison.summary:
        rules += [
            _margin_rule(comparison, policy),
            _populations_rule(comparison.summary, policy),
            _classes_rule(comparison.per_class, policy.max_class_drop),
        ]
        if len(comparison.new_classes):
            rules.append(_new_classes_rule(comparison.new_classes))
    return rules


def _margin_rule(comparison: Comparison, policy: DecideParams) -> Rule:
    low, n, margin = comparison.summary["low"]["together", "accuracy"], len(comparison.scored), policy.margin
    level = interval_name(policy.confidence)
    text = f"The {level} begins at {points(low)} points; it must lie above {points(-margin)}."
    if difference_interval(0, 0, n, policy.confidence)[0] <= -margin:
        needed = gain_to_pass(n, estimate_flips(*count_flips(comparison.scores), n), margin, policy.confidence)
        text += (
            f" {count_of(n, 'held-out image')}: no model can be accepted unless it is better by about "
            f"{100 * needed:.0f} points."
        )
    return Rule("margin", bool(low > -margin), text)


def _populations_rule(summary: pd.DataFrame, policy: DecideParams) -> Rule:
    accuracy = summary.xs("accuracy", level="metric")
    worse = accuracy[accuracy["high"] < -policy.margin].iterrows()
    names = [f"{population} ({points(row['low'])} to {points(row['high'])} points)" for population, row in worse]
    level = interval_name(policy.confidence)
    text = f"Populations in which the whole {level} lies below {points(-policy.margin)}: {listed(names)}."
    return Rule("populations", not names, text)


def _classes_rule(classes: pd.DataFrame, drop: float) -> Rule:
    known = classes[classes["recall_difference"].notna()]
    fallen = known[find_fallen(known["support"], known["fixed"], known["broken"], drop)].iterrows()
    names = [
        f"{label} ({percent(row['old_recall'])} of {row['support']} before, {percent(row['new_recall'])} now)"
        for label, row in fallen
    ]
    text = f"Classes whose recall fell by over {100 * drop:g} points, beyond chance: {listed(names)}."
    return Rule("classes", not names, text)


def _new_classes_rule(classes: pd.DataFrame) -> Rule:
    enough = classes[classes["images"] >= FEWEST_OF_A_CLASS]
    failed = enough[is_not_learnt(enough["right"], enough["images"])].iterrows()
    names = [f"{label} ({row['right']} of {row['images']} right)" for label, row in failed]
    text = f"New classes that are wrong more often than right, beyond chance: {listed(names)}."
    return Rule("new classes", not names, text)
