"""Doubt labels before they teach anything: a model that never saw their images has an opinion."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.comparison.words import count_of, listed, percent
from helpers.pipeline.calibration import SMALLEST, apply_temperature
from helpers.pipeline.params import PrepareParams
from helpers.pipeline.prepare import is_held_out

SHARES = np.linspace(0, 0.95, 381)
TEMPERATURES = np.geomspace(0.5, 5, 24)


class Noise(NamedTuple):
    """The estimated share of wrong labels, with its 95 % interval."""

    share: float
    low: float
    high: float
    temperature: float = 1.0  # by which the model is too sure of these images


class SecondLook(NamedTuple):
    """The opinion of the old model on the labels of a round."""

    judged: pd.DataFrame  # from doubt_labels
    noise: Noise | None  # of the labels that are merged; None if the model judges none

    @property
    def suspected_tasks(self) -> list[int]:
        """The tasks of the suspects, for a second look in Label Studio."""
        return [task for tasks in self.judged.loc[self.judged["suspect"], "tasks"] for task in tasks]


def estimate_noise(probabilities: np.ndarray, labels: np.ndarray) -> Noise:
    """Estimate the share of wrong labels from a model's opinion of images that it was not trained on.

    An image's true class is drawn from the model's probabilities, tempered, since it may be too sure of images that are
    harder than its own; a label is that class or, for the wrong share, any other. Share and temperature have the
    maximum likelihood, so that images which are hard for the model count as hard and not as mislabelled: on digits
    of which the model gets 74 % right, with correct labels, this finds 0.5 % wrong ones, and confident learning
    (Northcutt et al. 2021, arXiv 1911.00068), which asks for a confidence above the average of the class, 20 %.

    `probabilities` are [N, classes], and `labels` class numbers [N]. The interval is that of the profile likelihood.
    """
    table = np.empty((len(TEMPERATURES), len(SHARES)))
    for row, temperature in enumerate(TEMPERATURES):
        right, wrong = _label_probabilities(probabilities, labels, temperature)
        mixed = (1 - SHARES[:, None]) * right + SHARES[:, None] * wrong
        table[row] = np.log(mixed.clip(SMALLEST)).sum(axis=1)
    temperature, share = np.unravel_index(table.argmax(), table.shape)
    inside = SHARES[table.max(axis=0) > table.max() - 1.92]  # half of the 95 % quantile of chi-squared
    return Noise(float(SHARES[share]), float(inside[0]), float(inside[-1]), float(TEMPERATURES[temperature]))


def _label_probabilities(
    probabilities: np.ndarray, labels: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each label if it is the true class, and if it is any other."""
    tempered = apply_temperature(probabilities.astype(np.float64).clip(SMALLEST), temperature)
    right = np.take_along_axis(tempered, labels[:, None], axis=1)[:, 0]
    return right, (1 - right) / (probabilities.shape[1] - 1)


def doubt_labels(plan: pd.DataFrame, opinions: pd.DataFrame) -> tuple[pd.DataFrame, Noise]:
    """Judge the labels of a plan by the opinion of a model, least believed first, and estimate the share of wrong ones.

    The plan's rows, all with a label, and those of `opinions` are the same images in the same order; `opinions` are
    probabilities, a column per class that the model knows. The rows whose class it knows come back with four columns
    more: `opinion`, the class that the model expects; `believed`, the probability that it gives the label; `doubt`, the
    probability that the label is wrong; `suspect`, whether that is above a half.
    """
    known = plan["label"].isin(opinions.columns).to_numpy()
    if not known.any():
        return plan[known].assign(opinion="", believed=0.0, doubt=0.0, suspect=False), Noise(0.0, 0.0, 1.0)
    probabilities = opinions[known].to_numpy()
    labels = opinions.columns.get_indexer(pd.Index(plan.loc[known, "label"]))
    noise = estimate_noise(probabilities, labels)
    right, wrong = _label_probabilities(probabilities, labels, noise.temperature)
    doubt = noise.share * wrong / ((1 - noise.share) * right + noise.share * wrong).clip(SMALLEST)
    judged = plan[known].assign(
        opinion=opinions.columns[probabilities.argmax(axis=1)],
        believed=probabilities[np.arange(len(labels)), labels],
        doubt=doubt,
        suspect=doubt > 0.5,
    )
    return judged.sort_values("believed", kind="stable"), noise


def leave_out_suspects(plan: pd.DataFrame, judged: pd.DataFrame, prepare: PrepareParams) -> pd.DataFrame:
    """Take the suspects out of a plan, except for those that will be held out.

    Suspects are hard images as well as wrong labels. A held-out set without its hard images would flatter every model;
    images that are missing from the training set alone leave accuracy and comparison unbiased.
    """
    suspected = judged.loc[judged["suspect"], "sha256"]
    held_out = suspected.map(lambda sha256: is_held_out(sha256, prepare.seed, prepare.validation_fraction)).astype(bool)
    changing = plan.loc[plan["action"].isin(["add", "move"]), "sha256"]
    out = plan["sha256"].isin(suspected[~held_out]) & plan["sha256"].isin(changing)
    plan = plan.copy()
    plan.loc[out, ["action", "destination", "previous"]] = ["leave out", "", ""]
    plan.loc[out, "reason"] = "its label looks wrong to the old model: confirm or correct it"
    return plan


def describe_look(look: SecondLook) -> str:
    """Put the second look into sentences; the annotator with the largest share of wrong labels comes first."""
    judged, noise = look
    if noise is None:
        return "The old model has no opinion on the labels of this round."
    found = (
        f"{judged['suspect'].sum():,} of {count_of(len(judged), 'new label')} look wrong to the old model. About "
        f"{percent(noise.share)} are, 95 % interval {percent(noise.low)} to {percent(noise.high)}."
    )
    rows = judged.explode("annotators").groupby("annotators")
    table = rows.agg(suspects=("suspect", "sum"), labels=("doubt", "size"), wrong=("doubt", "mean"))
    annotators = [
        f"{name} ({count} of {labels}, about {percent(wrong)})"
        for name, count, labels, wrong in table.sort_values("wrong", ascending=False).itertuples()
        if count
    ]
    return f"{found} By annotator: {listed(annotators)}." if annotators else found
