"""Decide whether a new classifier may replace the old one, with reasons: tables in, a record out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from helpers.comparison.counting import FEWEST_SCENES, count_equal_scenes, count_scenes, design_effect
from helpers.comparison.power import describe_power
from helpers.comparison.record import Decision, Rule
from helpers.comparison.rules import FEWEST_IMAGES, list_rules
from helpers.comparison.scores import Comparison
from helpers.comparison.statistics import wilson
from helpers.comparison.words import count_of, describe_images, interval_name, listed, percent, points


class Row(NamedTuple):
    """A further row of the chart of the difference: a change of accuracy and its interval."""

    name: str
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """An extra's contribution to a decision; card, report and chart show it without knowing the extra.

    `rules` have to be met like the decision's own; one whose `passed` is None is shown for information only. `notes`
    are sentences, `headline` is appended to the card's headline, and `row` is a row of the chart of the difference.
    `record`, of JSON, is kept in the decision, and so is a copy of the extra's `section` of ``params.yaml``: when that
    changes, publishing is refused until the round has run again.

    >>> Finding(rules=[Rule("labels", False, "9 of 100 labels are wrong.")], record={"wrong": 9, "of": 100})
    """

    rules: Sequence[Rule] = ()
    notes: Sequence[str] = ()
    headline: str = ""
    row: Row | None = None
    record: Any = None
    section: str = ""


def decide(
    comparison: Comparison,
    findings: Mapping[str, Finding] | None = None,
    changed: Sequence[str] = (),
    other_baseline: str = "",
) -> Decision:
    """Decide whether the new model may replace the old one, with reasons.

    Accuracy on frozen and new images together decides: only together do they include every image on which both models
    can be judged. New images are not a random sample if a model chose them, and could hide a loss on the frozen ones;
    therefore no single population may lose more than the margin either. An accepted model need not come out as better:
    the rules ask that it is not worse by the margin (docs/decision.md).

    `findings` are the findings of extras, by name; rules and notes keep their order. `changed` names further changes
    since the baseline: parameters, code. If the old model is not the one that the new model would replace,
    `other_baseline` is a sentence that names both.
    """
    findings = findings or {}
    verdict, sentence = _tell_verdict(comparison)
    rules = list_rules(comparison)
    if comparison.new == comparison.old:
        rules.append(Rule("new model", False, f"The new model, {comparison.new}, is the old one: nothing replaces it."))
    if other_baseline:
        rules.append(Rule("baseline", False, other_baseline))
    rules += [rule for finding in findings.values() for rule in finding.rules]
    notes = _notes(comparison, changed)
    return Decision(
        verdict=verdict,
        accepted=all(rule.passed is not False for rule in rules),
        sentence=sentence,
        headline="; ".join(filter(None, (finding.headline for finding in findings.values()))),
        rules=rules,
        notes=[*notes, *(note for finding in findings.values() for note in finding.notes)],
        images=_records(comparison.tally),
        figures=_records(comparison.summary),
        new_classes=_records(comparison.new_classes),
        lost_classes=_records(comparison.lost_classes),
        policy=comparison.policy.model_dump(),
        findings={name: finding.record for name, finding in findings.items()},
    )


def explain_acceptance(decision: Decision) -> str:
    """Say whether the new model is accepted, and why it may be so without being better."""
    if not decision.accepted:
        return "The new model is not accepted."
    if decision.verdict == "worse":
        return "The new model is accepted: it is worse, but by less than the margin."
    if decision.verdict in ("equivalent", "undecided"):
        return "The new model is accepted: it is not worse by more than the margin."
    return "The new model is accepted."


def list_facts(decision: Decision) -> list[tuple[str, str]]:
    """Return the facts behind a decision, each after its name."""
    models = f"{decision.baseline} → model {decision.model}"
    if decision.baseline != decision.replaces:
        models += f", which would replace {decision.replaces}"
    facts = [("Models", models)]
    if row := decision.accuracy:
        before = f"{percent(row['old'])} → " if "old" in row else ""
        these = describe_images(row["images"], row.get("scenes", 0))
        facts.append(("Accuracy", f"{before}{percent(row['new'])} of {these}"))
    if decision.new_classes:
        facts.append(("New classes", _describe_classes(decision.new_classes, "right")))
    if decision.lost_classes:
        facts.append(("Lost classes", _describe_classes(decision.lost_classes, "right before")))
    added, corrected = decision.changes["added"], decision.changes["corrected"]
    trained = f"{count_of(added, 'image')} added, {count_of(corrected, 'label')} corrected"
    facts.append(("Data", f"{trained}; the new model has learnt from {decision.trained_on:,}"))
    until = f", with labels until {decision.labels_until}" if decision.labels_until else ""
    return [*facts, ("Export", f"{decision.export}{until}")]


def _describe_classes(classes: Sequence[Mapping[str, Any]], right: str) -> str:
    """List classes with their counts from `helpers.comparison.tables.recall_of`."""
    return listed(
        [
            f"{row['class']} ({row['right']} of {row['images']} {right})"
            if row["images"]
            else f"{row['class']} (no held-out image)"
            for row in classes
        ]
    )


def _tell_verdict(comparison: Comparison) -> tuple[str, str]:
    """Return the verdict and a sentence with its figures."""
    summary, n, policy = comparison.summary, len(comparison.scored), comparison.policy
    if comparison.units < FEWEST_IMAGES:
        these = describe_images(len(comparison.scores), count_scenes(comparison.scores))
        return "undecided", f"Undecided: {n} of {these} can be scored, too few to say anything."
    these = describe_images(n, comparison.pairs.scenes)
    if "old" not in summary:
        right, scenes = comparison.scored["new_right"], comparison.scored.get("scene")
        effect = design_effect(right, scenes)
        low, high = wilson(right.sum() / effect, n / effect)
        return "first", (
            f"First model: {percent(right.mean())} of {these} right, 95 % interval {percent(low)} to "
            f"{percent(high)}; there is no older model to compare it with."
        )
    overall: Any = summary.loc[("together", "accuracy")]
    low, high = overall["low"], overall["high"]
    if low > 0:
        verdict = "better"
    elif high < 0:
        verdict = "worse"
    else:
        verdict = "equivalent" if -policy.margin < low and high < policy.margin else "undecided"
    return verdict, (
        f"{verdict.capitalize()}: {percent(overall['new'])} of {these} right, "
        f"{percent(overall['old'])} before (difference {points(overall['difference'])} points, "
        f"{interval_name(policy.confidence)} {points(low)} to {points(high)})"
        f"{', too few images to tell' if verdict == 'undecided' else ''}."
    )


def _notes(comparison: Comparison, changed: Sequence[str]) -> list[str]:
    """Sentences on the limits of the comparison."""
    scores, total, notes = comparison.scores, len(comparison.scores), []
    if comparison.warning:
        notes.append(comparison.warning)
    if changed:
        notes.append(f"Not only the data changed ({listed(changed)}): the difference is not the data's alone.")
    if len(comparison.scored):
        notes.append(describe_power(comparison.pairs, comparison.policy))
    if 0 < comparison.pairs.scenes < comparison.pairs.images:
        equal = count_equal_scenes(comparison.scored["scene"])
        if equal < FEWEST_SCENES:
            scenes = count_of(comparison.pairs.scenes, "scene")
            worth = f" of unequal size, worth {equal:.0f}," if round(equal) < comparison.pairs.scenes else ""
            notes.append(f"{scenes}{worth} tell too little: below {FEWEST_SCENES}, all images of a scene count as one.")
    leaked = scores["population"] == "leaked"
    if leaked.any():
        why = "the old model trained on them, or nobody can tell"
        notes.append(f"Not scored, because {why}: {leaked.sum()} of {total} images.")
    for who, images in scores[~scores["scored"] & ~leaked].groupby("known_to"):
        knowing = "no model knows" if who == "neither" else f"only the {who} model knows"
        labels = listed(sorted(images["actual"].unique()))
        notes.append(f"Not scored, because {knowing} their class ({labels}): {len(images)} of {total} images.")
    return notes


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert rows for JSON; a missing figure becomes None."""
    return json.loads(table.reset_index().to_json(orient="records"))
