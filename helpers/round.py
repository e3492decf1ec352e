"""One labelling round in a workspace: where the tables meet git, DVC and the models."""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from helpers.comparison import decision
from helpers.comparison import scores as comparison
from helpers.comparison.decision import failed_rules
from helpers.labels import consensus as annotations
from helpers.merge import plan as dataset
from helpers.merge.apply import apply_merge
from helpers.merge.hashing import sha256_of
from helpers.merge.lineage import extend_lineage, format_lineage, read_lineage
from helpers.merge.rules import CHANGES
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import DecideParams, PrepareParams, TrainParams, read_params
from helpers.pipeline.train import train
from helpers.problems import EndOfRun, Problem, check_all, require_choice
from helpers.publishing import decline_round, publish_round, remember_workspace, require_branch, tell_state
from helpers.workspace import DECISION, HASHES, HISTORY, IMAGES, INDEX, LINEAGE, MODEL, RAW, Workspace


def start_round(
    workspace: Workspace,
    *,
    baseline: str,
    on_problem: str,
    on_disagreement: str,
    publish: bool,
    decline: bool,
) -> None:
    """Decline the round, or see before anything is changed that it can be run as its parameters say.

    Parameters
    ----------
    workspace : Workspace
    baseline, on_problem, on_disagreement, publish, decline
        As the notebook explains them.

    Raises
    ------
    EndOfRun
        The round was declined, as asked.
    Problem
        All that is known to fail later.
    """
    if decline and publish:
        raise Problem("A round is published or declined, not both.", advice="Set `publish` or `decline`.")
    if decline:
        raise EndOfRun(decline_round(workspace))
    checks: list[Callable[[], object]] = [
        workspace.stop_on_locks,
        lambda: require_choice("on_problem", on_problem, dataset.ON_PROBLEM),
        lambda: require_choice("on_disagreement", on_disagreement, annotations.ON_DISAGREEMENT),
        lambda: read_params(PrepareParams, workspace.root / "params.yaml"),
        lambda: read_params(TrainParams, workspace.root / "params.yaml"),
        lambda: workspace.read_at(baseline, MODEL),
    ]
    if publish:
        checks.append(lambda: require_branch(workspace))
    check_all(checks)


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
    raw, lineage, hashes = (workspace.root / name for name in (RAW, LINEAGE, HASHES))
    export_sha256, known = sha256_of(export), read_lineage(lineage)
    record = extend_lineage(known, plan, export_sha256)
    # A round that only confirms labels is recorded too: what was exported before it must not correct them any more.
    if plan["action"].isin(CHANGES).any() or format_lineage(record) != format_lineage(known):
        remember_workspace(workspace)
        apply_merge(plan, raw, lineage, export_sha256, hashes=hashes)
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


def describe_training(became: str) -> str:
    """Say in a sentence what `Workspace.reproduce` tells of the model."""
    return {
        "trained": "The model was trained anew.",
        "restored": "The model comes from DVC's cache: it was trained on these images with these settings before.",
        "unchanged": "Nothing changed since the last training: nothing to train.",
    }[became]


def find_baseline(workspace: Workspace, baseline: str) -> str:
    """Find the commit to compare the model in the workspace with.

    If the round is committed already, ``HEAD`` holds its model: then it is the model that this one has replaced, so
    that a round that is run again comes to the same decision.

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
                return workspace.commit_of(decision["replaces_commit"])
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
        Limits that differ from the section `decide` of params.yaml.

    Returns
    -------
    dict
        From `decision.decide`, with both models in its sentence, and: the new `model` (its version); the old one, at
        the `baseline` (its version and commit) and `baseline_commit`; the one that publishing `replaces`, at
        `replaces_commit`; `export_sha256`; and `judged`, the versions of all models that the held-out images of this
        `seed` have been used to decide on. Held-out sets wear out (Renggli et al. 2019, arXiv 1903.00278).
    """
    path = workspace.root / DECISION
    model = load_classifier((workspace.root / MODEL).read_bytes(), MODEL).version
    commit, replaced = workspace.commit_of(baseline), find_baseline(workspace, "HEAD")
    old, to_replace = _name_model(workspace, commit), _name_model(workspace, replaced)
    other_baseline = ""
    if workspace.read_at(commit, MODEL) != workspace.read_at(replaced, MODEL):
        other_baseline = f"The comparison is with {old}, but the new model would replace {to_replace}."
    compared = comparison.Comparison(scores, read_lineage(workspace.root / LINEAGE), model, old, commit)
    policy = read_params(DecideParams, workspace.root / "params.yaml").model_copy(update=rules)
    decided = decision.decide(compared, policy, _changes_since(workspace, commit), other_baseline)
    seed = read_params(PrepareParams, workspace.root / "params.yaml").seed
    judged = _remember_judgement(workspace, model, seed)
    decided["sentence"] += f" New: model {model}. Old: {old}."
    decided["notes"].append(_describe_wear(len(judged)))
    record = {
        **decided,
        "model": model,
        "baseline": old,
        "baseline_commit": commit,
        "replaces": to_replace,
        "replaces_commit": replaced,
        "export_sha256": sha256_of(export),
        "seed": seed,
        "judged": judged,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


def _name_model(workspace: Workspace, commit: str) -> str:
    """A model of the past by its version and by the name that git has for its commit."""
    model, name = workspace.read_at(commit, MODEL), workspace.git("describe", "--tags", "--always", commit).strip()
    return f"model {load_classifier(model, MODEL).version} of {name}" if model else f"no model at {name}"


def _remember_judgement(workspace: Workspace, model: str, seed: int) -> list[str]:
    """The versions of all models that the held-out images of a seed have judged, with this one.

    A round that is declined leaves no trace in the workspace: the repository's git configuration remembers it.
    """
    key, path = f"retrain.seed{seed}.judged", workspace.root / DECISION
    last = json.loads(path.read_bytes()) if path.exists() else {}
    judged = dict.fromkeys(last.get("judged", []) if last.get("seed") == seed else [])
    with suppress(Problem):  # none is remembered
        judged |= dict.fromkeys(workspace.git("config", "--get-all", key).split())
    if model not in judged:
        workspace.git("config", "--add", key, model)
    return list(judged | {model: None})


def _describe_wear(judged: int) -> str:
    if judged == 1:
        return "These held-out images judge a model for the first time."
    return (
        f"These held-out images have judged {judged} models, those that were declined included. The more they judge, "
        "the likelier one of them looks good by luck; another prepare.seed holds out fresh ones."
    )


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
