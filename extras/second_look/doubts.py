"""Doubt labels before they teach anything: a model that never saw their images has an opinion."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.comparison.counting import design_effect
from helpers.comparison.record import Rule
from helpers.comparison.statistics import wilson
from helpers.comparison.words import count_of
from helpers.pipeline.params import PrepareParams
from helpers.pipeline.prepare import is_held_out

FIT = 0.7  # held-out accuracy from which on a model's doubts are worth a look
SURE = 0.9  # confidence in its own choice
FEWEST_SURE, MOST_CONTRADICTIONS = 20, 0.2


class SecondLook(NamedTuple):
    """The opinion of the old model on the labels of a round."""

    judged: pd.DataFrame  # from doubt_labels
    commit: str = ""  # of the model
    unfit: str = ""  # a sentence on why the model judges no labels

    def tasks(self, most: int) -> list[int]:
        """The tasks of the most doubted labels, so many at most."""
        return [task for tasks in self.judged["tasks"].head(most) for task in tasks]


def doubt_labels(plan: pd.DataFrame, opinions: pd.DataFrame) -> pd.DataFrame:
    """Put the labels of a plan in the order of a model's doubts, the least believed first.

    The plan's rows, all with a label, and those of `opinions` are the same images in the same order; `opinions` are
    probabilities, a column per class that the model knows. The rows whose class it knows come back with three columns
    more: `opinion`, the class that the model chooses; `confidence`, the probability that it gives that; and `believed`,
    the one that it gives the label. Of several images of a ``scene``, a column of the plan that may be missing, the
    most doubted comes with those of other scenes, and the next follow later. How many labels are wrong, no model can
    tell: one that knows nothing doubts right labels, and one that makes people's mistakes believes wrong ones.
    """
    known = plan["label"].isin(opinions.columns).to_numpy()
    probabilities = opinions[known].to_numpy(dtype=float)
    labels = opinions.columns.get_indexer(pd.Index(plan.loc[known, "label"]))
    if not known.any():
        return plan[known].assign(opinion="", confidence=0.0, believed=0.0)
    judged = plan[known].assign(
        opinion=opinions.columns[probabilities.argmax(axis=1)],
        confidence=probabilities.max(axis=1),
        believed=probabilities[np.arange(len(labels)), labels],
    )
    judged = judged.sort_values("believed", kind="stable")
    if "scene" in judged:
        turn = judged.groupby("scene").cumcount().sort_values(kind="stable")
        judged = judged.loc[turn.index]
    return judged


def find_contradictions(judged: pd.DataFrame) -> Rule:
    """Refuse a round whose labels contradict the model where it is sure: classes or files are mixed up.

    Refused is a share of contradictions above 20 %, with 95 % confidence (Wilson's lower bound). In simulations on
    digits and Fashion-MNIST at most one honest round in fifty was refused, also where people label the least certain
    images first, and at least three in four rounds of 600 labels that were shifted by one class. A tenth of wrong
    labels passes. Where images have scenes, these count.
    """
    sure = judged[judged["confidence"] >= SURE]
    contradicts = sure["opinion"] != sure["label"]
    contradicting, effect = int(contradicts.sum()), design_effect(contradicts, sure.get("scene"))
    if len(sure) / effect < FEWEST_SURE:
        text = f"The old model is sure of {count_of(len(sure), 'image')}: too few to tell whether classes are mixed up."
        return Rule("contradictions", None, text)
    low, _ = wilson(contradicting / effect, len(sure) / effect, 0.95)
    passed = bool(low <= MOST_CONTRADICTIONS)
    question = "." if passed else ": are classes mixed up?"
    text = f"Where the old model is sure, {contradicting} of {count_of(len(sure), 'label')} contradict it{question}"
    return Rule("contradictions", passed, text)


def leave_out_doubted(plan: pd.DataFrame, judged: pd.DataFrame, number: int, prepare: PrepareParams) -> pd.DataFrame:
    """Take the most doubted labels, so many, out of a plan, except for those that will be held out.

    Doubted images are hard ones as well as wrong labels. A held-out set without its hard images would flatter every
    model; images that are missing from the training set alone leave accuracy and comparison unbiased.
    """
    doubted = judged["sha256"].head(number)
    scenes = judged.get("scene", judged["sha256"]).head(number)
    held_out = scenes.map(lambda scene: is_held_out(scene, prepare.seed, prepare.validation_fraction)).astype(bool)
    out = plan["sha256"].isin(doubted[~held_out]) & plan["action"].isin(["add", "move"])
    plan = plan.copy()
    plan.loc[out, ["action", "destination", "previous"]] = ["leave out", "", ""]
    plan.loc[out, "reason"] = "the old model doubts its label: confirm or correct it"
    return plan
