"""Scores and answers of models that never were, for tests of tables, decisions and reports."""

from typing import Any

import numpy as np
import pandas as pd

from helpers.comparison.decision import decide
from helpers.comparison.policy import DecideParams
from helpers.comparison.scores import Comparison, score_images


def images(labels, start=0):
    """Held-out images with the given labels, each of another content.

    All contents are in one half of `helpers.pipeline.calibration.cross_fit`: scores hold the confidences of the test.
    """
    numbers = range(start, start + len(labels))
    return pd.DataFrame(
        {
            "file": [f"{label}/{number}.png" for label, number in zip(labels, numbers, strict=True)],
            "label": list(labels),
            "split": "held-out",
            "sha256": [f"{number:063x}0" for number in numbers],
        }
    )


def says(held_out, predicted, classes=None, confidence=0.9):
    """A model that predicts the given classes, with the given confidence, and thinks the others equally likely."""
    classes = sorted(set(held_out["label"]) | set(predicted)) if classes is None else classes
    chosen = np.array(list(predicted))[:, None] == np.array(classes)
    confidence = np.broadcast_to(confidence, len(held_out))[:, None]
    return pd.DataFrame(
        np.where(chosen, confidence, (1 - confidence) / (len(classes) - 1)), index=held_out["file"], columns=classes
    )


def compared(actual, old, new, population=("frozen",)):
    """Scores of two models that know the same classes; `population` is repeated over the images."""
    held_out = images(actual)
    classes = sorted({*actual, *old, *new, "other"})
    population = np.resize(population, len(held_out))
    index = held_out.assign(split=np.where(population == "leaked", "train", "held-out"))[population != "new"]
    return score_images(held_out, says(held_out, new, classes), says(held_out, old, classes), index)


def outcome(both=0, fixed=0, broken=0, neither=0, label="cat", population="frozen"):
    """Scores of images of one class, by which of the models is right."""
    old = [label] * both + ["other"] * fixed + [label] * broken + ["other"] * neither
    new = [label] * both + [label] * fixed + ["other"] * broken + ["other"] * neither
    return compared([label] * len(old), old, new, (population,))


def noisy(rng, actual, accuracy, classes):
    """Predictions that are right as often as `accuracy`, and else drawn from all classes."""
    return np.where(rng.random(len(actual)) < accuracy, actual, rng.choice(classes, len(actual)))


NO_LINEAGE = pd.DataFrame(
    columns=["sha256", "label", "annotators", "export_sha256", "labels_sha256", "by_model"], dtype=str
)
NO_LINEAGE["updated_at"] = pd.to_datetime([], utc=True)
POLICY = DecideParams(margin=0.02, confidence=0.95, max_class_drop=0.1)

# What `helpers.round.verdict.decide_round` adds to a decision.
FACTS: dict[str, Any] = {
    "changes": {"added": 953, "corrected": 1},
    "trained_on": 1035,
    "model": "new0",
    "baseline": "model old0 of model/v3",
    "replaces": "model old0 of model/v3",
    "export": "annotations.json",
    "labels_until": "2026-01-05",
}


def comparison_of(scores, lineage=NO_LINEAGE, **limits):
    policy = POLICY.model_copy(update=limits)
    known_to_new, known_to_old = set(), set()
    if "old_predicted" in scores:
        known_to_new, known_to_old = (
            set(scores.loc[scores["known_to"] == model, "actual"]) for model in ("new", "old")
        )
    return Comparison(scores, lineage, "new", "old", "HEAD", 0, policy, known_to_new, known_to_old)


def decided(scores, lineage=NO_LINEAGE, changed=(), **limits):
    return decide(comparison_of(scores, lineage, **limits), changed=changed)
