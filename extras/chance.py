"""Measure how far chance alone goes: train on the old data with other seeds, and tell the decision."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

from helpers.comparison.decision import Finding, Row
from helpers.comparison.scores import Comparison
from helpers.comparison.words import listed, points
from helpers.pipeline.params import DEFAULTS, TrainParams
from helpers.pipeline.paths import INDEX, PARAMS, TRAINING_SECONDS, read_table
from helpers.pipeline.trial import train_and_predict
from helpers.round.past import load_past
from helpers.round.record import read_decision
from helpers.workspace import Workspace

USUAL, QUICK = 3, 20  # seeds, if a training takes less than so many seconds


def measure_chance(workspace: Workspace, comparison: Comparison, seeds: int) -> list[float] | None:
    """Train on the old data with other seeds, and return by how much each changes the accuracy of the old model.

    The changes, on the scored images, show the effect of chance: initial weights and the order of images vary from
    training to training (Bouthillier et al. 2021, arXiv 2103.03098). A negative number of `seeds` means three where
    the last training took less than 20 seconds, and none elsewhere. A comparison that was measured before is not
    measured again, and nothing in the workspace changes. None: not measured, or there is no old model.
    """
    commit, scored = comparison.baseline, comparison.scored
    if seeds < 0:
        seeds = USUAL if _last_training(workspace) < QUICK else 0
    if not (seeds and comparison.old) or scored.empty:
        return None
    remembered = _remember(workspace, comparison)
    if len(remembered) >= seeds:
        return remembered[:seeds]

    # The old data and its settings; the images may have other names and labels by now.
    model, index = load_past(workspace, commit)
    if model is None or index is None:
        return None
    today = read_table((workspace.root / INDEX).read_bytes())
    index["file"] = index["sha256"].map(dict(zip(today["sha256"], today["file"], strict=True)))
    if index["file"].isna().any():
        return None
    then = workspace.load(PARAMS, commit).get("train") or {}
    settings = {name: then.get(name, default) for name, default in DEFAULTS["train"].items()}
    params = [TrainParams(**settings | {"seed": settings["seed"] + number}) for number in range(1, seeds + 1)]

    # Train side by side, and score like the old model.
    images, spawn = scored[["file", "sha256"]], multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(seeds, os.cpu_count() or 1), mp_context=spawn) as pool:
        trainings = [pool.submit(train_and_predict, workspace.root, index, model, images, each) for each in params]
        accuracies = [(training.result() == scored["actual"].to_numpy()).mean() for training in trainings]
    old_accuracy = (scored["old_predicted"] == scored["actual"]).mean()
    return [float(accuracy - old_accuracy) for accuracy in accuracies]


def find_chance(workspace: Workspace, comparison: Comparison, seeds: int) -> Finding:
    """Hand over to the decision the changes of `measure_chance`, or a note that chance is not measured."""
    changes = measure_chance(workspace, comparison, seeds)
    notes, row = [], None
    if changes:
        listing = listed([points(change) for change in changes])
        notes.append(f"Other seeds alone change the accuracy of the old model by {listing} points.")
        row = Row("old data,\nother seeds", changes)
    elif comparison.old:
        how = "`control_seeds=3` trains on the old data with three more seeds"
        notes.append(f"The effect of chance is not measured: {how}.")
    return Finding(notes=notes, row=row, record=changes)


def _last_training(workspace: Workspace) -> float:
    """The seconds that the last training here took; infinite if nobody knows."""
    with suppress(OSError, ValueError):
        return float((workspace.root / TRAINING_SECONDS).read_text())
    return float("inf")


def _remember(workspace: Workspace, comparison: Comparison) -> list[float]:
    """The changes that the last decision has, if it compares the same models."""
    last = read_decision(workspace)
    same = (last.model, last.baseline_commit) == (comparison.new, comparison.baseline)
    return list(last.findings.get("chance") or []) if same else []
