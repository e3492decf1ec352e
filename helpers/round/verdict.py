"""Decide on a round in view of its past, and record the decision in evaluation/decision.json."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.comparison.blind import compare_blind, describe_blind
from helpers.comparison.decision import DecideParams, decide
from helpers.comparison.scores import Comparison
from helpers.comparison.second_look import SecondLook
from helpers.hashing import sha256_of
from helpers.merge.lineage import hash_labels
from helpers.merge.rules import is_future
from helpers.pipeline.params import DEFAULTS, PrepareParams, read_params
from helpers.pipeline.paths import BACKBONES, INDEX, PARAMS, RAW, read_table
from helpers.problems import EndOfRun, Problem
from helpers.round.past import find_baseline, load_past
from helpers.round.publishing import count_changes_since
from helpers.round.record import SCHEMA, read_decision
from helpers.round.state import find_state, tell_state
from helpers.workspace import DECISION, Workspace

OF_THE_EXPORT = ("export", "export_sha256", "labels_sha256", "labels_until")


def decide_round(
    workspace: Workspace,
    comparison: Comparison,
    export: Path,
    labels: pd.DataFrame,
    look: SecondLook | None = None,
    seed_noise: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Decide by the policy of params.yaml whether the new model may replace the old one.

    `labels` are those of this round, from `export`, and `look` is the old model's opinion on them. The record is that
    of `decide` with the facts behind it. `judged` are the versions of all models that were judged on the held-out
    images of this `seed`: held-out sets wear out (Renggli et al. 2019, arXiv 1903.00278).
    """
    _end_without_round(workspace, comparison)
    commit, replaced = comparison.baseline, find_baseline(workspace, "HEAD")
    old = to_replace = _name_model(workspace, commit, comparison.old)
    other_baseline = ""
    if replaced != commit:
        model, _ = load_past(workspace, replaced)
        version = model.version if model else ""
        to_replace = _name_model(workspace, replaced, version)
        if version != comparison.old:
            other_baseline = f"The comparison is with {old}, but the new model would replace {to_replace}."
    added, corrected = count_changes_since(workspace, commit)
    last_label = labels.loc[labels["label"].notna() & ~is_future(labels["updated_at"]), "updated_at"].max()
    # Decide, and note how often these held-out images have judged models.
    policy = read_params(DecideParams, workspace.root / PARAMS)
    noise = look.noise if look else None
    decision: dict[str, Any] = {"schema": SCHEMA}
    decision |= decide(comparison, policy, _changes_since(workspace, commit), other_baseline, noise, seed_noise)
    seed = read_params(PrepareParams, workspace.root / PARAMS).seed
    judged = _remember_judgement(workspace, comparison.new, seed)
    decision["sentence"] += f" New: model {comparison.new}. Old: {old}."
    if len(judged) > 1:
        decision["notes"].append(
            f"These held-out images have judged {len(judged)} models, those that were declined included. The more they "
            "judge, the likelier one of them looks good by luck; another prepare.seed holds out fresh ones."
        )
    _, old_index = load_past(workspace, commit)
    if old_index is not None:
        index = read_table((workspace.root / INDEX).read_bytes())
        if gone := set(old_index["sha256"]) - set(index["sha256"]):
            decision["notes"].append(f"Images of the old model that are gone from {RAW}: {len(gone):,}.")
    if look and (sentence := describe_blind(compare_blind(look.judged[~look.judged["by_model"].astype(bool)]))):
        decision["notes"].append(sentence)
    decision |= {
        "policy": policy.model_dump(),
        "label_noise": noise._asdict() if noise else None,
        "seed_noise": seed_noise,
        "changes": {"added": added, "corrected": corrected},
        "trained_on": comparison.trained_on,
        "model": comparison.new,
        "baseline": old,
        "baseline_commit": commit,
        "replaces": to_replace,
        "replaces_commit": replaced,
        "export": export.name,
        "export_sha256": sha256_of(export),
        "labels_sha256": hash_labels(labels),
        "labels_until": "" if pd.isna(last_label) else f"{last_label:%Y-%m-%d}",
        "seed": seed,
        "judged": judged,
    }
    # The same labels from another export are no new decision.
    committed, decision = read_decision(workspace, "HEAD"), json.loads(json.dumps(decision))
    if committed | {name: decision[name] for name in ("schema", *OF_THE_EXPORT)} == decision:
        workspace.save(DECISION, workspace.load(DECISION, "HEAD"))
        return committed
    workspace.save(DECISION, decision)
    return decision


def _end_without_round(workspace: Workspace, comparison: Comparison) -> None:
    """End the run where nothing is there to decide on: a model that is compared with itself, or after a decline."""
    state = find_state(workspace)
    if state == "declined" or (comparison.new == comparison.old and state in ("not begun", "published")):
        raise EndOfRun(f"There is nothing to decide. {tell_state(workspace)}")


def _name_model(workspace: Workspace, commit: str, version: str) -> str:
    """Name a model of the past by its version, empty if there is none, and by git's name for its commit."""
    name = workspace.git("describe", "--tags", "--always", commit).strip()
    return f"model {version} of {name}" if version else f"no model at {name}"


def _changes_since(workspace: Workspace, commit: str) -> list[str]:
    """List the changed settings and files, apart from images, that the stages of dvc.yaml depend on."""
    files = [*workspace.code_of_stages(), BACKBONES]
    changed = workspace.git("diff", "--name-only", "-z", commit, "--", *files).split("\0")[:-1]
    listed = {name for stage in workspace.stages() for name in stage.get("params", []) if isinstance(name, str)}
    now, then = workspace.load(PARAMS), workspace.load(PARAMS, commit)
    if not then:
        return [f"{PARAMS} is new", *changed]
    before, after = (_name_settings(DEFAULTS | sections) for sections in (then, now))
    different = [
        f"{name}: {before.get(name)} → {after.get(name)}"
        for name in sorted({**before, **after})
        if before.get(name) != after.get(name) and listed & {name, name.partition(".")[0]}
    ]
    return different + changed


def _name_settings(sections: dict[str, Any]) -> dict[str, Any]:
    """Return each setting by its whole name, a missing one of this project's own with its default."""
    return {
        f"{section}.{name}": value
        for section, settings in sections.items()
        for name, value in (DEFAULTS.get(section, {}) | (settings if isinstance(settings, dict) else {})).items()
    }


def _remember_judgement(workspace: Workspace, model: str, seed: int) -> list[str]:
    """Return the versions of all models judged on the held-out images of a seed, including this one.

    A declined round leaves no trace in the workspace, so the repository's git configuration remembers them.
    """
    key, last = f"retrain.seed{seed}.judged", read_decision(workspace)
    judged = list(last["judged"]) if last["seed"] == seed else []
    with suppress(Problem):  # none is remembered
        judged += workspace.git("config", "--get-all", key).split()
    if model not in judged:
        workspace.git("config", "--add", key, model)
    return list(dict.fromkeys([*judged, model]))  # each once, in their order
