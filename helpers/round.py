"""One labelling round in a workspace: start, merge, retrain, compare, end; `helpers.verdict` decides."""

import hashlib
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from helpers.comparison.decision import failed_rules
from helpers.comparison.scores import Comparison, score_images
from helpers.labels.consensus import ON_DISAGREEMENT
from helpers.merge.apply import apply_merge
from helpers.merge.hashing import sha256_of
from helpers.merge.lineage import extend_lineage, format_lineage, read_lineage
from helpers.merge.plan import ON_PROBLEM
from helpers.merge.rules import CHANGES
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import DecideParams, PrepareParams, TrainParams, read_params
from helpers.pipeline.paths import HISTORY, INDEX, MODEL, NEAR_DUPLICATES, PARAMS, PIXELS, RAW, read_table
from helpers.pipeline.train import train
from helpers.problems import EndOfRun, Problem, check_all, require_choice
from helpers.publishing import decline_round, publish_round, remember_workspace, require_branch, tell_state
from helpers.verdict import find_baseline
from helpers.workspace import LINEAGE, Workspace


def start_round(
    workspace: Workspace, *, baseline: str, on_problem: str, on_disagreement: str, publish: bool, decline: bool
) -> None:
    """Decline the round if that is asked for; else see, before anything is changed, that it can be run to its end.

    Raises
    ------
    EndOfRun
        The round was declined.
    Problem
        Everything that is known to fail later.
    """
    if decline and publish:
        raise Problem("A round is published or declined, not both.", advice="Set `publish` or `decline`.")
    if decline:
        raise EndOfRun(decline_round(workspace))
    sections = (PrepareParams, TrainParams, DecideParams)
    checks: list[Callable[[], object]] = [
        workspace.stop_on_locks,
        lambda: require_choice("on_problem", on_problem, ON_PROBLEM),
        lambda: require_choice("on_disagreement", on_disagreement, ON_DISAGREEMENT),
        *(lambda section=section: read_params(section, workspace.root / PARAMS) for section in sections),
        lambda: workspace.read_at(baseline, MODEL),
    ]
    if publish:
        checks.append(lambda: require_branch(workspace))
    check_all(checks)


def merge_round(workspace: Workspace, plan: pd.DataFrame, export: Path) -> None:
    """Carry out a merge plan on disk, with what was there before and what is there now in DVC's cache.

    Parameters
    ----------
    workspace : Workspace
    plan : DataFrame
        From `merge.plan.plan_merge`.
    export : Path
        The export that the plan was made from; its sha256 goes into the lineage.
    """
    export_sha256, known = sha256_of(export), read_lineage(workspace.lineage)
    record = extend_lineage(known, plan, export_sha256)
    # A round that only confirms labels is recorded too: what was exported before it must not correct them any more.
    if plan["action"].isin(CHANGES).any() or format_lineage(record) != format_lineage(known):
        remember_workspace(workspace)
        apply_merge(plan, workspace.raw, workspace.lineage, export_sha256, hashes=workspace.hashes)
    # Also where nothing is left to merge: an earlier run may have ended before this line.
    if not _is_tracked(workspace.lineage):
        workspace.dvc("add", RAW, LINEAGE, quiet=True)


def _is_tracked(file: Path) -> bool:
    """Whether DVC knows a file as it is now, or there is none."""
    pointer = file.with_name(f"{file.name}.dvc")
    if not file.exists():
        return True
    recorded = yaml.safe_load(pointer.read_bytes())["outs"][0]["md5"] if pointer.exists() else ""
    return bool(recorded == hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest())


def describe_training(became: str) -> str:
    """Say in a sentence what `Workspace.reproduce` tells of the model."""
    return {
        "trained": "The model was trained anew.",
        "restored": "The model comes from DVC's cache: it was trained on these images with these settings before.",
        "unchanged": "Nothing changed since the last training: nothing to train.",
    }[became]


def compare_models(workspace: Workspace, baseline: str = "HEAD") -> Comparison:
    """Let the model in the workspace and the one at `baseline` predict the same held-out images of today.

    Parameters
    ----------
    workspace : Workspace
    baseline : str
        A git revision; see `find_baseline`.

    Raises
    ------
    Problem
        There is no such revision, or its model can no longer be had.
    """
    index = read_table((workspace.root / INDEX).read_bytes())
    held_out = index[index["split"] == "held-out"]
    new = load_classifier((workspace.root / MODEL).read_bytes(), MODEL)
    commit = find_baseline(workspace, baseline, new.version)
    old_model, old_index = workspace.read_at(commit, MODEL), workspace.read_at(commit, INDEX)
    old = load_classifier(old_model, f"{MODEL} of {baseline}") if old_model else None
    files = list(held_out["file"])
    scores = score_images(
        held_out,
        new.predict(workspace.raw, files),
        old.predict(workspace.raw, files) if old else None,
        read_table(old_index) if old_index else None,
    )
    lineage = read_lineage(workspace.lineage)
    return Comparison(scores, lineage, new=new.version, old=old.version if old else "", baseline=commit)


def measure_seed_noise(workspace: Workspace, comparison: Comparison, seeds: int) -> list[float]:
    """Train on the old data again, with other seeds, and see how far chance alone moves the accuracy.

    One retrain cannot tell whether the data helped: initial weights and the order of images vary too (Bouthillier et
    al. 2021, arXiv 2103.03098). Nothing in the workspace is changed.

    Returns
    -------
    list of float
        For each seed, the accuracy on the scored images minus the old model's.
    """
    commit, scored = comparison.baseline, comparison.scored
    if not (seeds and comparison.old) or scored.empty:
        return []
    model, index, pixels = (workspace.read_at(commit, path) for path in (MODEL, INDEX, PIXELS))
    if model is None or index is None or pixels is None:
        return []
    now = read_params(TrainParams, workspace.root / PARAMS).model_dump()
    then = yaml.safe_load(workspace.git("show", f"{commit}:{PARAMS}"))["train"]
    settings = {name: then.get(name, value) for name, value in now.items()}  # the baseline may be from before a setting
    old_accuracy = (scored["old_predicted"] == scored["actual"]).mean()
    changes = []
    for number in range(1, seeds + 1):
        params = TrainParams(**(settings | {"seed": settings["seed"] + number}))
        print(f"Old data, seed {params.seed} ({number} of {seeds}):")
        classifier, _ = train(np.load(BytesIO(pixels)), read_table(index), load_classifier(model).description, params)
        guesses = classifier.predict(workspace.raw, list(scored["file"])).idxmax(axis=1)
        changes.append(float((guesses.to_numpy() == scored["actual"].to_numpy()).mean() - old_accuracy))
    return changes


def read_histories(workspace: Workspace, comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The learning curves of the new model and of the old one, if there is one."""
    old = workspace.read_at(comparison.baseline, HISTORY)
    return pd.read_csv(workspace.root / HISTORY), pd.read_csv(BytesIO(old)) if old else None


def read_near_duplicates(workspace: Workspace) -> pd.DataFrame:
    """The held-out images that nearly equal a training image, as the stage ``prepare`` found them."""
    return read_table((workspace.root / NEAR_DUPLICATES).read_bytes())


def draw_plots(workspace: Workspace, comparison: Comparison, anew: bool) -> str:
    """Let ``dvc plots diff`` write its page, unless nothing changed since it last did; gives a link to it from here."""
    page = workspace.root / "dvc_plots/index.html"
    if anew or not page.exists():
        workspace.dvc("plots", "diff", comparison.baseline, quiet=True)
    return Path(os.path.relpath(page)).as_posix()


def end_round(
    workspace: Workspace,
    plan: pd.DataFrame,
    decision: dict[str, Any],
    *,
    publish: bool,
    publish_anyway: str = "",
    tag: bool = True,
    require_acceptance: bool = False,
) -> str:
    """Publish the round if that is asked for, and tell in sentences what was done and how far the round is.

    Raises
    ------
    Problem
        `require_acceptance` is set, and the model is not accepted; or as `publish_round` raises.
    """
    if require_acceptance and not (decision["accepted"] or publish_anyway):
        raise Problem(f"The new model is not accepted. {decision['sentence']}", failed_rules(decision))
    done = publish_round(workspace, plan, decision, anyway=publish_anyway, tag=tag) if publish else []
    return "\n".join([*done, tell_state(workspace)])
