"""One labelling round in a workspace: where the tables meet git, DVC and the models."""

import hashlib
import json
import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from helpers import comparison, dataset, decision
from helpers.classifier import load_classifier
from helpers.content import sha256_of
from helpers.lineage import read_lineage
from helpers.params import TrainParams, read_params
from helpers.placement import CHANGES
from helpers.problems import Problem
from helpers.publishing import remember_workspace
from helpers.stages.train import train
from helpers.workspace import DECISION, HASHES, HISTORY, IMAGES, INDEX, LINEAGE, MODEL, RAW, Workspace


def merge_round(workspace: Workspace, plan: pd.DataFrame, export: Path) -> None:
    """Carry out a merge plan on disk, with what was there before and what is there now in DVC's cache.

    Parameters
    ----------
    workspace : Workspace
    plan : DataFrame
        From `dataset.plan_merge`.
    export : Path
        The export that the plan was made from; its sha256 goes into the lineage.
    """
    if plan["action"].isin(CHANGES).any():
        remember_workspace(workspace)
        raw, lineage, hashes = (workspace.root / name for name in (RAW, LINEAGE, HASHES))
        dataset.apply_merge(plan, raw, lineage, sha256_of(export), hashes=hashes)
    # Also where nothing is left to merge: an earlier run may have ended before this line.
    if not _is_tracked(workspace.root / LINEAGE):
        workspace.dvc("add", RAW, LINEAGE, quiet=True)


def _is_tracked(file: Path) -> bool:
    """Whether DVC knows a file as it is now, or there is none."""
    pointer = file.with_name(f"{file.name}.dvc")
    if not file.exists():
        return True
    recorded = yaml.safe_load(pointer.read_bytes())["outs"][0]["md5"] if pointer.exists() else ""
    return bool(recorded == hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest())


def find_baseline(workspace: Workspace, baseline: str) -> str:
    """Find the commit to compare the model in the workspace with.

    If the round is committed already, ``HEAD`` holds its model: then it is what that round was compared with, so that a
    round that is run again comes to the same decision.

    Parameters
    ----------
    workspace : Workspace
    baseline : str
        A git revision.

    Returns
    -------
    str
        The commit's hash.

    Raises
    ------
    Problem
        There is no such revision.
    """
    commit = workspace.commit_of(baseline)
    if baseline == "HEAD" and workspace.read_at(commit, MODEL) == (workspace.root / MODEL).read_bytes():
        with suppress(Problem):  # no decision is committed
            decision = json.loads(workspace.git("show", f"{commit}:{DECISION}"))
            if decision["model"] == load_classifier((workspace.root / MODEL).read_bytes(), MODEL).version:
                return workspace.commit_of(decision["baseline_commit"])
    return commit


def score_held_out(workspace: Workspace, baseline: str) -> pd.DataFrame:
    """Let the model in the workspace and the one at `baseline` predict the same held-out images of today.

    Parameters
    ----------
    workspace : Workspace
    baseline : str
        A git revision.

    Returns
    -------
    DataFrame
        As `comparison.score_images` describes it; without the old model's columns if `baseline` has no model.

    Raises
    ------
    Problem
        There is no such revision, or its model can no longer be had.
    """
    index = read_table((workspace.root / INDEX).read_bytes())
    held_out = index[index["split"] == "held-out"]
    old_model, old_index = workspace.read_at(baseline, MODEL), workspace.read_at(baseline, INDEX)

    def predict(model: bytes, name: str) -> pd.DataFrame:
        return load_classifier(model, name).predict(workspace.root / RAW, list(held_out["file"]))

    return comparison.score_images(
        held_out,
        predict((workspace.root / MODEL).read_bytes(), MODEL),
        predict(old_model, f"{MODEL} of {baseline}") if old_model else None,
        read_table(old_index) if old_index else None,
    )


def slice_scores(workspace: Workspace, scores: pd.DataFrame) -> pd.DataFrame:
    """`comparison.slices` of the scores, by what the workspace's lineage says of each image."""
    return comparison.slices(scores, read_lineage(workspace.root / LINEAGE))


def measure_seed_noise(workspace: Workspace, scores: pd.DataFrame, baseline: str, seeds: int) -> list[float]:
    """Train on the old data again, with other seeds, and see how far chance alone moves the accuracy.

    One retrain cannot tell whether the data helped: initial weights and the order of images vary too (Bouthillier et
    al. 2021, arXiv 2103.03098). Nothing in the workspace is changed.

    Parameters
    ----------
    workspace : Workspace
    scores : DataFrame
        From `score_held_out`.
    baseline : str
        The git revision whose data and settings are trained on.
    seeds : int
        How many times to train. 0 does nothing.

    Returns
    -------
    list of float
        For each seed, the accuracy on the scored images minus the old model's.
    """
    scored = scores[scores["scored"]]
    if not seeds or scored.empty:
        return []
    model, index, images = (workspace.read_at(baseline, path) for path in (MODEL, INDEX, IMAGES))
    if model is None or index is None or images is None:
        return []
    then = yaml.safe_load(workspace.git("show", f"{workspace.commit_of(baseline)}:params.yaml"))["train"]
    now = read_params(TrainParams, workspace.root / "params.yaml").model_dump()
    settings = {name: then.get(name, value) for name, value in now.items()}  # the baseline may be from before a setting
    old_accuracy = (scored["old_predicted"] == scored["actual"]).mean()
    changes = []
    for number in range(1, seeds + 1):
        params = TrainParams(**(settings | {"seed": settings["seed"] + number}))
        print(f"Old data, seed {params.seed} ({number} of {seeds}):")
        classifier, _ = train(np.load(BytesIO(images)), read_table(index), load_classifier(model).description, params)
        guesses = classifier.predict(workspace.root / RAW, list(scored["file"])).idxmax(axis=1)
        changes.append(float((guesses.to_numpy() == scored["actual"].to_numpy()).mean() - old_accuracy))
    return changes


def read_histories(workspace: Workspace, baseline: str) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The learning curves of the model in the workspace and of the one at `baseline`, if there is one."""
    old = workspace.read_at(baseline, HISTORY)
    return pd.read_csv(workspace.root / HISTORY), pd.read_csv(BytesIO(old)) if old else None


def read_near_duplicates(workspace: Workspace) -> pd.DataFrame:
    """The held-out pictures that nearly equal a training picture, as `duplicates.near_duplicates` found them."""
    return read_table((workspace.root / INDEX).with_name("near_duplicates.csv").read_bytes())


def read_table(file: bytes) -> pd.DataFrame:
    """Read a CSV in which every value is text: a label may be called ``007`` or ``None``."""
    return pd.read_csv(BytesIO(file), dtype=str, keep_default_na=False)


def draw_plots(workspace: Workspace, baseline: str, anew: bool) -> str:
    """Let ``dvc plots diff`` write its page, unless nothing changed since it last did; gives a link to it from here."""
    page = workspace.root / "dvc_plots/index.html"
    if anew or not page.exists():
        workspace.dvc("plots", "diff", workspace.commit_of(baseline), quiet=True)
    return Path(os.path.relpath(page)).as_posix()


def record_decision(
    workspace: Workspace, scores: pd.DataFrame, baseline: str, export: Path, **rules: Any
) -> dict[str, Any]:
    """Decide whether the new model may replace the old one, and write it to evaluation/decision.json.

    Parameters
    ----------
    workspace : Workspace
    scores : DataFrame
        From `score_held_out`.
    baseline : str
        The git revision that it was compared with.
    export : Path
        The labels of this round.
    **rules
        As `decision.decide` takes them.

    Returns
    -------
    dict
        From `decision.decide`, and: `baseline`, as git describes its `baseline_commit`; `export_sha256`; the new
        `model` (its version); and `decisions`: how many different models this held-out set has been used to decide on,
        this one included. Held-out sets wear out when used again and again (Renggli et al. 2019, arXiv 1903.00278).
    """
    path = workspace.root / DECISION
    commit = workspace.commit_of(baseline)
    model = load_classifier((workspace.root / MODEL).read_bytes(), MODEL).version
    last = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    record = {
        **decision.decide(
            scores,
            comparison.summary(scores),
            slices=slice_scores(workspace, scores),
            changed=_changes_since(workspace, commit),
            **rules,
        ),
        "baseline": workspace.git("describe", "--tags", "--always", commit).strip(),
        "baseline_commit": commit,
        "export_sha256": sha256_of(export),
        "model": model,
        "decisions": last.get("decisions", 0) + (last.get("model") != model),
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


def _changes_since(workspace: Workspace, commit: str) -> list[str]:
    """What else than the data changed: settings, and files that the stages run."""
    code = ["dvc.yaml", "helpers/stages", "helpers/classifier.py", "helpers/images.py", "helpers/params.py"]
    changes = workspace.git("diff", "--name-only", commit, "--", *code).splitlines()
    try:
        before = yaml.safe_load(workspace.git("show", f"{commit}:params.yaml"))
    except Problem:
        return ["params.yaml is new", *changes]
    now = yaml.safe_load((workspace.root / "params.yaml").read_text(encoding="utf-8"))
    then, today = (pd.json_normalize(settings).iloc[0].to_dict() for settings in (before, now))
    different = sorted(str(name) for name in then.keys() | today.keys() if then.get(name) != today.get(name))
    return [f"{name}: {then.get(name)} → {today.get(name)}" for name in different] + changes


def require_acceptance(record: dict[str, Any]) -> None:
    """End a headless run with an error if the new model is not accepted.

    Raises
    ------
    Problem
        With every rule that the model failed.
    """
    if not record["accepted"]:
        failed = [rule["explanation"] for rule in record["rules"] if not rule["passed"]]
        raise Problem(f"The new model is not accepted. {record['sentence']}", failed)
