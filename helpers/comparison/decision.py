"""Decide whether a new classifier may replace the old one, with reasons: tables in, a record out."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from pydantic import Field

from helpers.comparison.scores import Comparison
from helpers.comparison.second_look import Noise
from helpers.comparison.statistics import wilson
from helpers.comparison.words import listed, percent, points
from helpers.pipeline.params import Params

FEWEST_IMAGES = 6  # if five of five images flip the same way, the exact p is still above 0.05


class DecideParams(Params):
    """Section ``decide`` of ``params.yaml``: the policy by which a new model is accepted."""

    margin: float = Field(0.01, ge=0, le=1)
    max_negative_flips: float = Field(0.05, ge=0, le=1)
    max_class_drop: float = Field(0.1, ge=0, le=1)
    min_class_support: int = Field(10, ge=1)
    max_label_noise: float = Field(0.05, ge=0, le=1)


class Rule(NamedTuple):
    """A condition that a new model has to meet, and whether it does."""

    rule: str
    passed: bool
    explanation: str


def decide(
    comparison: Comparison,
    policy: DecideParams,
    changed: Sequence[str] = (),
    other_baseline: str = "",
    noise: Noise | None = None,
    seed_noise: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Decide whether the new model may replace the old one, with reasons.

    Accuracy on frozen and new images together decides: only together do they include every image on which both models
    can be judged. New images are not a random sample if a model chose them, and could hide a loss on the frozen ones;
    therefore no single population may get worse either. An accepted model need not come out as better: with 300 images,
    3 % fixed and 1 % broken, it does so in a third of cases.

    `changed` names further changes since the baseline: parameters, code. If the old model is not the one that the new
    model would replace, `other_baseline` is a sentence that names both. `noise` is that of the round's new labels, and
    `seed_noise` has the changes of accuracy by other seeds alone; None if they are not known.

    The result can be written as JSON. `verdict`: ``first`` (there is no old model), ``better`` or ``worse`` (the 95 %
    interval lies above or below 0), ``equivalent`` (within ± margin) or ``undecided``. `accepted`: bool. `sentence`:
    the verdict in words. `rules`: the fields of a `Rule` each. `notes`: sentences on the limits of the comparison.
    `images` and `figures`: the rows of its `tally` and `summary`.
    """
    counts, summary = comparison.tally, comparison.summary
    n, total = int(counts["scored"]["together"]), len(comparison.scores)
    rules = [Rule("enough images", n >= FEWEST_IMAGES, f"{n} of {total} images scored; {FEWEST_IMAGES} are needed.")]
    if n < FEWEST_IMAGES:
        verdict = "undecided"
        sentence = f"Undecided: {n} of {total} held-out images can be scored, too few to say anything."
    elif "old" not in summary:
        verdict = "first"
        accuracy = summary["new"]["together", "accuracy"]
        low, high = wilson(n * accuracy, n)
        sentence = (
            f"First model: {percent(accuracy)} of {n} held-out images right, 95 % interval {percent(low)} to "
            f"{percent(high)}; there is no older model to compare it with."
        )
    else:
        overall: Any = summary.loc[("together", "accuracy")]
        low, high = overall["low"], overall["high"]
        verdict = _verdict(low, high, policy.margin)
        sentence = (
            f"{verdict.capitalize()}: {percent(overall['new'])} of {n} held-out images right, "
            f"{percent(overall['old'])} before (difference {points(overall['difference'])} points, "
            f"95 % interval {points(low)} to {points(high)})"
            f"{', too few images to tell' if verdict == 'undecided' else ''}."
        )
        rules += [
            _margin_rule(low, policy.margin),
            _populations_rule(summary),
            _flips_rule(int(counts["broken"]["together"]), n, policy.max_negative_flips),
            _classes_rule(comparison.per_class, policy.min_class_support, policy.max_class_drop),
        ]
    if comparison.new == comparison.old:
        rules.append(Rule("new model", False, f"The new model, {comparison.new}, is the old one: nothing replaces it."))
    if other_baseline:
        rules.append(Rule("baseline", False, other_baseline))
    if noise:
        rules.append(_labels_rule(noise, policy.max_label_noise))
    return {
        "verdict": verdict,
        "accepted": all(rule.passed for rule in rules),
        "sentence": sentence,
        "rules": [rule._asdict() for rule in rules],
        "notes": _notes(comparison, changed, seed_noise),
        "images": _records(counts),
        "figures": _records(summary),
    }


def failed_rules(decision: dict[str, Any]) -> list[str]:
    """Return the reasons why the model is not accepted: the explanations of the rules that it failed."""
    return [rule["explanation"] for rule in decision["rules"] if not rule["passed"]]


def _verdict(low: float, high: float, margin: float) -> str:
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "equivalent" if -margin < low and high < margin else "undecided"


def _margin_rule(low: float, margin: float) -> Rule:
    text = f"The 95 % interval begins at {points(low)} points; it must lie above {points(-margin)}."
    return Rule("margin", bool(low > -margin), text)


def _populations_rule(summary: pd.DataFrame) -> Rule:
    accuracy = summary.xs("accuracy", level="metric")
    worse = accuracy[accuracy["high"] < 0].iterrows()
    names = [f"{population} ({points(row['low'])} to {points(row['high'])} points)" for population, row in worse]
    text = f"Populations in which the new model is worse, with the 95 % interval: {listed(names)}."
    return Rule("populations", not names, text)


def _flips_rule(broken: int, n: int, most: float) -> Rule:
    share = broken / n
    text = f"{broken} of {n} images ({percent(share)}) were right and are wrong now; at most {percent(most)} may be."
    return Rule("negative flips", share <= most, text)


def _classes_rule(classes: pd.DataFrame, least: int, drop: float) -> Rule:
    # Rounded, because 0.8 - 0.9 is not quite -0.1 in floating point.
    fallen = classes[(classes["support"] >= least) & (classes["recall_difference"].round(9) < -drop)].iterrows()
    names = [
        f"{label} ({percent(row['old_recall'])} of {row['support']} before, {percent(row['new_recall'])} now)"
        for label, row in fallen
    ]
    text = f"Classes of {least} images or more whose recall falls by over {100 * drop:g} points: {listed(names)}."
    return Rule("classes", not names, text)


def _labels_rule(noise: Noise, most: float) -> Rule:
    """Wrong labels spoil training and held-out images alike, so no comparison on these labels can reveal them."""
    text = (
        f"About {percent(noise.share)} of the new labels are wrong (95 % interval {percent(noise.low)} to "
        f"{percent(noise.high)}); at most {100 * most:g} % may be, unless the interval begins at 0."
    )
    return Rule("labels", noise.share <= most or noise.low == 0, text)


def _notes(comparison: Comparison, changed: Sequence[str], seed_noise: Sequence[float] | None) -> list[str]:
    """Sentences on the limits of the comparison."""
    scores, total, notes = comparison.scores, len(comparison.scores), []
    if changed:
        notes.append(f"Not only the data changed ({listed(changed)}): the difference is not the data's alone.")
    leaked = scores["population"] == "leaked"
    if leaked.any():
        why = "the old model trained on them, or nobody can tell"
        notes.append(f"Not scored, because {why}: {leaked.sum()} of {total} images.")
    for who, images in scores[~scores["scored"] & ~leaked].groupby("known_to"):
        knowing = "no model knows" if who == "neither" else f"only the {who} model knows"
        labels = listed(sorted(images["actual"].unique()))
        notes.append(f"Not scored, because {knowing} their class ({labels}): {len(images)} of {total} images.")
    # Each model was trained once, and another seed makes another one (Bouthillier et al. 2021, arXiv 2103.03098).
    if seed_noise:
        changes = listed([points(change) for change in seed_noise])
        notes.append(f"Other seeds alone change the accuracy of the old model by {changes} points.")
    elif comparison.old:
        how = "`control_seeds=3` trains on the old data with three more seeds"
        notes.append(f"The effect of chance is not measured: {how}.")
    return notes


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert rows for JSON; a missing figure becomes None."""
    return json.loads(table.reset_index().to_json(orient="records"))
