"""Tell what the new data brought from the effect of chance: train on the old data and the new with other seeds."""

import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from helpers.comparison.counting import design_effect
from helpers.comparison.decision import Finding, Row
from helpers.comparison.scores import Comparison
from helpers.comparison.words import points
from helpers.pipeline.model import Classifier, load_classifier
from helpers.pipeline.params import DEFAULTS, TrainParams
from helpers.pipeline.paths import INDEX, MODEL, PARAMS, TRAINING_SECONDS, read_table
from helpers.pipeline.trial import train_and_predict
from helpers.problems import Problem
from helpers.round.past import load_past
from helpers.round.record import read_decision
from helpers.round.verdict import list_changes
from helpers.workspace import Workspace

QUICK, BEARABLE = 10, 20  # seconds of a training


class Brought(NamedTuple):
    """The change of accuracy that the new data brought, with its 95 % interval, and the number of models behind it."""

    difference: float
    low: float
    high: float
    models: tuple[int, int]  # of the old data, of the new


def estimate_brought(old: np.ndarray, new: np.ndarray, scenes: pd.Series | None = None) -> Brought:
    """Estimate the change of accuracy that the new data brought, apart from the chance of single trainings.

    `old` and `new` tell which images the models of the old and the new data get right: bool [models, images], three
    models or more in all. `scenes` name the scene of each image; None: each counts by itself. The 95 % interval adds
    the variance over the images and that over the seeds, with degrees of freedom by Welch and Satterthwaite: two models
    of the same data are not expected to differ, but they do (Bouthillier et al. 2021, arXiv 2103.03098).
    """
    counts, gains = np.array([len(old), len(new)]), new.mean(axis=0) - old.mean(axis=0)
    images = len(gains) / design_effect(gains, scenes)  # as many as if they were independent
    # Equal answers do not mean that the next image will have them, too.
    of_images = max(gains.var(ddof=1) / images, 2 / (images + 2) ** 2)

    accuracies = [side.mean(axis=1) for side in (old, new)]
    freedom = counts.sum() - 2
    pooled = sum(((side - side.mean()) ** 2).sum() for side in accuracies) / freedom
    of_seeds = pooled * (1 / counts).sum()

    variance = of_images + of_seeds
    freedom = variance**2 / (of_seeds**2 / freedom + of_images**2 / max(1, images - 1))
    reach = np.sqrt(variance) * student.ppf(0.975, freedom)
    difference = float(gains.mean())
    return Brought(difference, float(difference - reach), float(difference + reach), (len(old), len(new)))


def measure_brought(workspace: Workspace, comparison: Comparison, seeds: int) -> Brought:
    """Train further models with other seeds on the old data and the new, and estimate what the new data brought.

    So many `seeds` are trained on each side. A negative number means two where the last training took less than 10
    seconds; where it took less than 20, three on the old data alone. Old models have the old settings, new ones
    today's. Nothing in the workspace changes, and a comparison that the last decision measured is not measured again.
    A `Problem` tells why it cannot be measured.
    """
    extra = _choose_trainings(workspace, seeds)
    if remembered := _remember(workspace, comparison, extra):
        return remembered
    today = read_table((workspace.root / INDEX).read_bytes())
    new_model = load_classifier((workspace.root / MODEL).read_bytes(), MODEL)
    old_model, old_index = _read_old_data(workspace, comparison.baseline, today)
    old_settings, new_settings = _read_settings(workspace, comparison.baseline), _read_settings(workspace)

    images, spawn = comparison.scored[["file", "sha256"]], multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(sum(extra), os.cpu_count() or 1), mp_context=spawn) as pool:

        def train(model: Classifier, index: pd.DataFrame, settings: dict, more: int) -> list[Future]:
            params = [TrainParams(**settings | {"seed": settings["seed"] + number}) for number in range(1, more + 1)]
            return [pool.submit(train_and_predict, workspace.root, index, model, images, each) for each in params]

        # The trainings of the new data, which take longer, begin first.
        new_trainings = train(new_model, today, new_settings, extra[1])
        old_trainings = train(old_model, old_index, old_settings, extra[0])
    actual = comparison.scored["actual"]
    old, new = (
        np.array([comparison.scored[right], *(training.result() == actual for training in trainings)])
        for right, trainings in (("old_right", old_trainings), ("new_right", new_trainings))
    )
    return estimate_brought(old, new, comparison.scored.get("scene"))


def find_chance(workspace: Workspace, comparison: Comparison, seeds: int) -> Finding:
    """Hand over to the decision what the new data brought, or a note on why that is not measured."""
    if not comparison.old or len(comparison.scored) < 2:
        return Finding()
    try:
        brought = measure_brought(workspace, comparison, seeds)
    except Problem as problem:
        return Finding(notes=[f"What the new data brought, apart from chance, is not measured: {problem.headline}"])
    what = "new labels and settings together" if list_changes(workspace, comparison.baseline) else "the new labels"
    low, high = points(brought.low), points(brought.high)
    headline = f"{what} brought {points(brought.difference)} ({low} to {high})"
    if brought.low <= 0 <= brought.high:
        headline = f"chance alone may explain it: {headline}"
    trainings = " + ".join(map(str, brought.models))
    note = (
        f"{what.capitalize()} brought {points(brought.difference)} points (95 % interval {low} to {high}; "
        f"the images and the chance of {trainings} trainings are in it)."
    )
    row = Row("what the data\nbrought (95 %)", brought.difference, brought.low, brought.high)
    return Finding(notes=[note], headline=headline, row=row, record=brought._asdict())


def _choose_trainings(workspace: Workspace, seeds: int) -> tuple[int, int]:
    """Return the number of further trainings on the old data and on the new one."""
    if seeds > 0:
        return seeds, seeds
    if seeds == 0:
        raise Problem("`control_seeds` is 0.")
    seconds = float("inf")
    with suppress(OSError, ValueError):
        seconds = float((workspace.root / TRAINING_SECONDS).read_text())
    if seconds < BEARABLE:
        return (2, 2) if seconds < QUICK else (3, 0)
    taken = f"a training takes {seconds:.0f} seconds" if np.isfinite(seconds) else "no training here was timed"
    raise Problem(f"{taken}; `control_seeds=2` trains twice more on the old data and on the new.")


def _read_old_data(workspace: Workspace, commit: str, today: pd.DataFrame) -> tuple[Classifier, pd.DataFrame]:
    """Return the old model and its index, with the names that its images have today."""
    model, index = load_past(workspace, commit)
    if model is None or index is None:
        raise Problem("the commit of the old model has no index of its images.")
    index["file"] = index["sha256"].map(dict(zip(today["sha256"], today["file"], strict=True)))
    if gone := int(index["file"].isna().sum()):
        raise Problem(f"{gone:,} of the {len(index):,} images of the old model are gone.")
    return model, index


def _read_settings(workspace: Workspace, revision: str = "") -> dict:
    """Return the settings of a training at a revision, or in the workspace; a missing one has its default."""
    settings = workspace.load(PARAMS, revision).get("train") or {}
    return {name: settings.get(name, default) for name, default in DEFAULTS["train"].items()}


def _remember(workspace: Workspace, comparison: Comparison, extra: tuple[int, int]) -> Brought | None:
    """Return the measurement of the last decision, if it is of the same models and images, with as many trainings."""
    last = read_decision(workspace)
    record, tally = last.findings.get("chance"), comparison.tally.loc["together"].to_dict()
    same = (last.model, last.baseline_commit) == (comparison.new, comparison.baseline)
    if not same or not isinstance(record, dict) or {"population": "together", **tally} not in last.images:
        return None
    brought = Brought(**record | {"models": tuple(record["models"])})
    enough = all(models > number for models, number in zip(brought.models, extra, strict=True))
    return brought if enough else None
