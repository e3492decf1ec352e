"""Decide on a round in view of its past, and record the decision in evaluation/decision.json."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.comparison.decision import Finding, decide
from helpers.comparison.policy import DecideParams
from helpers.comparison.power import estimate_flips, luck_of_the_best
from helpers.comparison.record import SCHEMA, Decision
from helpers.comparison.scores import Comparison
from helpers.comparison.words import count_of, points
from helpers.hashing import sha256_of
from helpers.merge.lineage import hash_labels
from helpers.merge.rules import is_future
from helpers.pipeline.params import DEFAULTS, PrepareParams, read_params
from helpers.pipeline.paths import BACKBONES, INDEX, PARAMS, RAW, read_table
from helpers.problems import EndOfRun, Problem
from helpers.round.past import find_baseline, load_past, name_as_today
from helpers.round.publishing import count_changes_since
from helpers.round.record import read_decision
from helpers.round.state import find_state, tell_state
from helpers.workspace import DECISION, Workspace
from helpers.workspace.stages import code_of_stages, read_stages

COMPARED = ("model", "baseline_commit", "replaces_commit")
OF_THE_EXPORT = ("export", "export_sha256", "labels_sha256", "labels_until")


def decide_round(
    workspace: Workspace,
    comparison: Comparison,
    export: Path,
    labels: pd.DataFrame,
    findings: Mapping[str, Finding] | None = None,
) -> Decision:
    """Decide by the policy of params.yaml whether the new model may replace the old one, and record the decision.

    `labels` are those of this round, from `export`; `findings` are the findings of extras, by name.
    """
    _end_without_round(workspace, comparison)
    findings = findings or {}
    models = _name_models(workspace, comparison)
    changed = list_changes(workspace, comparison.baseline)
    decision = decide(comparison, findings, changed, _refuse_baseline(workspace, comparison, models))
    seed = read_params(PrepareParams, workspace.root / PARAMS).seed
    judged = _remember_judgement(workspace, comparison.new, seed)
    added, corrected = count_changes_since(workspace, comparison.baseline)
    decision = replace(decision, settings=_copy_settings(workspace, findings.values()))
    decision = replace(decision, policy_changes=_compare_policies(workspace, decision, models["replaces_commit"]))
    notes = [decision.policy_note, *decision.notes, *_note_past(workspace, comparison, judged)]
    decision = replace(
        decision,
        sentence=f"{decision.sentence} New: model {comparison.new}. Old: {models['baseline']}.",
        notes=list(filter(None, notes)),
        changes={"added": added, "corrected": corrected},
        trained_on=comparison.trained_on,
        model=comparison.new,
        seed=seed,
        judged=judged,
        **models,
        **_identify_export(export, labels),
    )
    # In the form that it is read in.
    decision = Decision.from_json(json.loads(json.dumps(decision.to_json())))
    committed = read_decision(workspace, "HEAD")
    if _is_committed(decision, committed, workspace.load(DECISION, "HEAD").get("schema", 1)):
        workspace.save(DECISION, workspace.load(DECISION, "HEAD"))
        return committed
    workspace.save(DECISION, decision.to_json())
    return decision


def _is_committed(decision: Decision, committed: Decision, schema: int) -> bool:
    """Whether a decision says nothing new: another export has the same labels, or newer code judges the same models."""
    if schema < SCHEMA:
        return all(getattr(committed, name) == getattr(decision, name) for name in COMPARED)
    return replace(committed, **{name: getattr(decision, name) for name in OF_THE_EXPORT}) == decision


def _name_models(workspace: Workspace, comparison: Comparison) -> dict[str, Any]:
    """Name the old model of the comparison, and the model that the new one would replace, with their commits."""
    replaced = find_baseline(workspace, "HEAD")
    old = to_replace = _name_model(workspace, comparison.baseline, comparison.old)
    if replaced != comparison.baseline:
        to_replace = _name_model(workspace, replaced, _version_at(workspace, replaced))
    commits = {"baseline_commit": comparison.baseline, "replaces_commit": replaced}
    return {"baseline": old, "replaces": to_replace, **commits}


def _refuse_baseline(workspace: Workspace, comparison: Comparison, models: Mapping[str, str]) -> str:
    """Say in a sentence that the comparison is with another model than the one to replace; empty if it is not."""
    replaced = models["replaces_commit"]
    if replaced == comparison.baseline or _version_at(workspace, replaced) == comparison.old:
        return ""
    return f"The comparison is with {models['baseline']}, but the new model would replace {models['replaces']}."


def _version_at(workspace: Workspace, commit: str) -> str:
    """Return the version of the model at a commit, empty if there is none."""
    model, _ = load_past(workspace, commit)
    return model.version if model else ""


def _note_past(workspace: Workspace, comparison: Comparison, judged: Sequence[str]) -> list[str]:
    """Sentences on earlier judgements by these held-out images, and on images that are gone since the baseline."""
    notes, models, pairs = [], len(judged), comparison.pairs
    if models > 1 and pairs.images:
        luck = luck_of_the_best(models, estimate_flips(pairs), pairs.n)
        notes.append(
            f"These images have judged at least {models} models: the best of {models} equal ones looks {points(luck)} "
            "points better than it is by luck alone. More labels of images that chance chose would renew them."
        )
    _, old_index = load_past(workspace, comparison.baseline)
    if old_index is not None:
        index = read_table((workspace.root / INDEX).read_bytes())
        notes += _note_missing_scenes(old_index, index)
        if gone := set(old_index["sha256"]) - set(index["sha256"]):
            notes.append(f"Images of the old model that are gone from {RAW}: {len(gone):,}.")
        if moved := int((name_as_today(old_index, index) != old_index.get("scene", old_index["sha256"])).sum()):
            notes.append(
                f"{count_of(moved, 'image')} of the old model belong to another scene now, so that other images are "
                "held out. To change scenes is a step of its own: publish this model with `publish_anyway`, and the "
                "next one is compared with it."
            )
    return notes


def _note_missing_scenes(old_index: pd.DataFrame, index: pd.DataFrame) -> list[str]:
    """A sentence where most new images have no named scene, although most images of the old model do."""
    if "scene" not in index:
        return []
    has_none, is_old = index["scene"] == index["sha256"], index["sha256"].isin(old_index["sha256"])
    if has_none[is_old].mean() > 0.5 or has_none[~is_old].sum() <= 0.5 * (~is_old).sum():
        return []
    new = count_of(int((~is_old).sum()), "new image")
    return [
        f"{has_none[~is_old].sum():,} of {new} belong to no named scene, although most others do, so that each of them "
        "may be held out beside its like: is `scene_key` set?"
    ]


def _compare_policies(workspace: Workspace, decision: Decision, commit: str) -> list[str]:
    """Name the limits of a decision that differ from those of the decision at a commit, or of its params.yaml."""
    then, params = read_decision(workspace, commit), workspace.load(PARAMS, commit)
    known = then.policy or params.get("decide") or {}
    policy = {name: known.get(name, default) for name, default in DecideParams().model_dump().items()}
    settings = {name: then.settings.get(name, params.get(name)) for name in decision.settings}
    changes = _compare_settings({"decide": policy, **settings}, {"decide": decision.policy, **decision.settings})
    return list(changes.values())


def _copy_settings(workspace: Workspace, findings: Iterable[Finding]) -> dict[str, Any]:
    """Copy the sections of params.yaml that findings depend on, as they stand there."""
    params = workspace.load(PARAMS)
    return {finding.section: params.get(finding.section) for finding in findings if finding.section}


def _identify_export(export: Path, labels: pd.DataFrame) -> dict[str, Any]:
    """Name an export, hash its bytes and its labels, and tell the day of its last label."""
    last = labels.loc[labels["label"].notna() & ~is_future(labels["updated_at"]), "updated_at"].max()
    until = "" if pd.isna(last) else f"{last:%Y-%m-%d}"
    return dict(zip(OF_THE_EXPORT, (export.name, sha256_of(export), hash_labels(labels), until), strict=True))


def _end_without_round(workspace: Workspace, comparison: Comparison) -> None:
    """End the run where nothing is there to decide on: a model that is compared with itself, or after a decline."""
    state = find_state(workspace)
    if state == "declined" or (comparison.new == comparison.old and state in ("not begun", "published")):
        raise EndOfRun(f"There is nothing to decide. {tell_state(workspace)}")


def _name_model(workspace: Workspace, commit: str, version: str) -> str:
    """Name a model of the past by its version, empty if there is none, and by git's name for its commit."""
    name = workspace.git("describe", "--tags", "--always", commit).strip()
    return f"model {version} of {name}" if version else f"no model at {name}"


def list_changes(workspace: Workspace, commit: str) -> list[str]:
    """List the changed settings and files, apart from images, that the stages of dvc.yaml depend on."""
    files = [*code_of_stages(workspace), BACKBONES]
    changed = workspace.git("diff", "--name-only", "-z", commit, "--", *files).split("\0")[:-1]
    listed = {name for stage in read_stages(workspace) for name in stage.get("params", []) if isinstance(name, str)}
    now, then = workspace.load(PARAMS), workspace.load(PARAMS, commit)
    if not then:
        return [f"{PARAMS} is new", *changed]
    different = _compare_settings(DEFAULTS | then, DEFAULTS | now)
    return [text for name, text in different.items() if listed & {name, name.partition(".")[0]}] + changed


def _compare_settings(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """Map the whole names of the settings that differ in two sets of sections to both values, as text."""
    then, now = map(_name_settings, (before, after))
    return {
        name: f"{name}: {then.get(name)} → {now.get(name)}"
        for name in sorted({**then, **now})
        if then.get(name) != now.get(name)
    }


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
    judged = list(last.judged) if last.seed == seed else []
    with suppress(Problem):  # none is remembered
        judged += workspace.git("config", "--get-all", key).split()
    if model not in judged:
        workspace.git("config", "--add", key, model)
    return list(dict.fromkeys([*judged, model]))  # each once, in their order
