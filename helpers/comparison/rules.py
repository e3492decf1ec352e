"""The rules that a new model has to meet, apart from those of extras; docs/decision.md gives the reason for each."""

import pandas as pd

from helpers.comparison.policy import DecideParams
from helpers.comparison.power import estimate_flips, gain_to_pass
from helpers.comparison.record import Rule
from helpers.comparison.scores import Comparison
from helpers.comparison.statistics import difference_interval, find_fallen, is_not_learnt
from helpers.comparison.tables import vote_on_classes
from helpers.comparison.words import count_of, describe_images, interval_name, listed, percent, points

FEWEST_IMAGES = 6  # or scenes: with fewer, an interval says nothing, because its formula is for many
FEWEST_OF_A_CLASS = 5  # images or scenes: of four of a new class, even none right may be chance


def list_rules(comparison: Comparison) -> list[Rule]:
    """Apply the rules to a comparison; a first model, or too few images, have to meet the first one alone."""
    units, policy = comparison.units, comparison.policy
    rules = [Rule("enough", units >= FEWEST_IMAGES, _count_scored(comparison))]
    if units >= FEWEST_IMAGES and "old" in comparison.summary:
        rules += [
            _margin_rule(comparison, policy),
            _populations_rule(comparison.summary, policy),
            _classes_rule(comparison.per_class, policy.max_class_drop),
        ]
        if len(comparison.new_classes):
            votes = vote_on_classes(comparison.scores, comparison.known_to_new, "new")
            rules.append(_new_classes_rule(comparison.new_classes, votes))
    return rules


def _count_scored(comparison: Comparison) -> str:
    pairs, scored = comparison.pairs, f"{comparison.pairs.images} of {len(comparison.scores)} images scored"
    if pairs.scenes:
        return f"{scored}, in {count_of(pairs.scenes, 'scene')}; {FEWEST_IMAGES} scenes are needed."
    return f"{scored}; {FEWEST_IMAGES} are needed."


def _margin_rule(comparison: Comparison, policy: DecideParams) -> Rule:
    low, pairs, margin = comparison.summary["low"]["together", "accuracy"], comparison.pairs, policy.margin
    level = interval_name(policy.confidence)
    text = f"The {level} begins at {points(low)} points; it must lie above {points(-margin)}."
    if difference_interval(0, 0, pairs.n, policy.confidence)[0] <= -margin:
        needed = gain_to_pass(pairs.n, estimate_flips(pairs), margin, policy.confidence)
        text += (
            f" {describe_images(pairs.images, pairs.scenes)}: no model can be accepted unless it is better by about "
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
    fallen = known[find_fallen(known["recall_difference"], known["rose"], known["fell"], drop)].iterrows()
    names = [
        f"{label} ({percent(row['old_recall'])} of {row['support']} before, {percent(row['new_recall'])} now)"
        for label, row in fallen
    ]
    text = f"Classes whose recall fell by over {100 * drop:g} points, beyond chance: {listed(names)}."
    return Rule("classes", not names, text)


def _new_classes_rule(classes: pd.DataFrame, votes: pd.DataFrame) -> Rule:
    count = votes["won"] + votes["lost"]
    failed = classes[(count >= FEWEST_OF_A_CLASS) & is_not_learnt(votes["won"], count)].iterrows()
    names = [f"{label} ({row['right']} of {row['images']} right)" for label, row in failed]
    text = f"New classes that are wrong more often than right, beyond chance: {listed(names)}."
    return Rule("new classes", not names, text)
