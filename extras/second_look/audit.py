"""The audit: labels that chance chose are made again, blind, by somebody else, which tells how many are wrong."""

from typing import NamedTuple

import pandas as pd

from helpers.comparison.counting import design_effect
from helpers.comparison.record import Rule
from helpers.comparison.statistics import wilson
from helpers.comparison.words import count_of, percent

AUDIT = "audit"  # the field of the tasks' data of an image that chance chose: how its first answer was made
FIRST_BLIND, FIRST_SEEN = "blind", "seen"  # without or with the model's opinion, as far as the tasks tell
FEWEST = 50  # audited labels for a rule


class Audited(NamedTuple):
    """The labels that two people made of the same images, and how many of these pairs differ."""

    labels: int
    differ: int
    blind: bool  # whether nobody saw the model's opinion before the first answer
    effect: float = 1.0  # so many labels tell as much as one, because people label a scene alike


def count_audited(labels: pd.DataFrame, scenes: pd.Series | None = None) -> Audited:
    """Count the images that chance chose for the audit and that two people labelled.

    `labels` is a table of `helpers.labels.read_export` with the field `AUDIT`, or a plan of it, and `scenes` has the
    scenes of its images; None: each counts by itself.
    """
    if AUDIT not in labels:
        return Audited(0, 0, False)
    chosen = labels[labels[AUDIT].isin([FIRST_BLIND, FIRST_SEEN])]
    pairs = chosen[chosen["annotators"].map(lambda people: len(set(people))) > 1]
    differ = pairs["labels"].map(lambda answers: len(set(answers)) > 1)
    effect = design_effect(differ, None if scenes is None else scenes[pairs.index])
    return Audited(len(pairs), int(differ.sum()), bool(pairs[AUDIT].eq(FIRST_BLIND).all()), effect)


def wrong_labels(audited: Audited, confidence: float = 0.975) -> tuple[float, float]:
    """Return bounds for the share of wrong labels, each of which holds with this confidence.

    Two people who err independently differ on about twice as many labels as each of them gets wrong, so that the bounds
    are half of Wilson's. Where people make the same mistakes, only the lower one holds.
    """
    low, high = wilson(audited.differ / audited.effect, audited.labels / audited.effect, confidence)
    return low / 2, high / 2


def describe_audit(audited: Audited) -> str:
    """Say how many labels are wrong as far as an audit can tell; empty without one."""
    if not audited.labels:
        return ""
    low, high = wrong_labels(audited)
    found = f"{audited.differ:,} of {count_of(audited.labels, 'audited label')} differ: "
    if not audited.blind:
        return f"{found}at least {percent(low)} of labels are wrong; the first answers had seen the model's opinion."
    share = audited.differ / audited.labels / 2
    return (
        f"{found}about {100 * share:.0f} % of labels are wrong ({100 * low:.1f} to {100 * high:.1f}); where people "
        "share a mistake, more."
    )


def audit_rule(audited: Audited, most: float) -> Rule:
    """Refuse a round of which an audit shows, with 95 % confidence, that more labels are wrong than `most`."""
    if audited.labels < FEWEST:
        text = f"{count_of(audited.labels, 'label')} of this round were made twice by an audit; a rule needs {FEWEST}."
        return Rule("not audited", None, text)
    low, _ = wrong_labels(audited, 0.95)
    text = f"At least {percent(low)} of labels are wrong by the audit, with 95 % confidence; {100 * most:g} % may be."
    return Rule("audit", bool(low <= most), text)
