"""The second look of a round: what must hold before it, the look itself, and its finding for the decision."""

from typing import Any

import pandas as pd
from pydantic import Field

from extras.label_studio.fields import BLIND
from extras.second_look.audit import audit_rule, count_audited, describe_audit
from extras.second_look.blind import compare_blind, describe_blind
from extras.second_look.doubts import FIT, SecondLook, doubt_labels, find_contradictions, leave_out_doubted
from helpers.comparison.decision import Finding
from helpers.comparison.record import Rule
from helpers.comparison.words import count_of
from helpers.merge.lineage import read_lineage
from helpers.pipeline.params import Params, PrepareParams, read_params
from helpers.pipeline.paths import METRICS, PARAMS
from helpers.problems import Problem
from helpers.round.past import load_past, past_models
from helpers.round.record import read_decision
from helpers.scenes import name_scenes, read_scenes, record_scenes
from helpers.workspace import Workspace


class SecondLookParams(Params):
    """Section ``second_look`` of ``params.yaml``: the limit for wrong labels that an audit may find."""

    max_label_noise: float = Field(0.05, ge=0, le=1)


def check_second_look(workspace: Workspace, leave_out_doubted: int) -> None:
    """Raise a `Problem` if the parameter or a setting of the second look cannot be used."""
    if leave_out_doubted < 0:
        raise Problem(f"leave_out_doubted is {leave_out_doubted}.", advice="Give a number of labels, 0 or more.")
    read_params(SecondLookParams, workspace.root / PARAMS)


def look_again(workspace: Workspace, plan: pd.DataFrame, leave_out: int = 0) -> tuple[pd.DataFrame, SecondLook]:
    """Let the old model judge the labels of a plan that it does not know, on images that it was not trained on.

    The plan comes back without the most doubted labels, so many as to `leave_out`; see `leave_out_doubted`.
    """
    labelled = plan[plan["label"].notna() & (plan["action"] != "leave out")].drop_duplicates("sha256")
    scenes = name_scenes_of(workspace, labelled)
    labelled = labelled.drop(columns="scene") if scenes is None else labelled.assign(scene=scenes)
    look = SecondLook(doubt_labels(labelled[:0], pd.DataFrame()), unfit="The old model has no opinion on these labels.")
    for commit in past_models(workspace):
        model, index = load_past(workspace, commit)
        if model is None or index is None:
            break
        known_label = dict(zip(index["sha256"], index["label"], strict=True))
        new = labelled[labelled["sha256"].map(known_label) != labelled["label"]]
        if new.empty:  # this model is the round's own: ask the one before
            continue
        accuracy = workspace.load(METRICS, commit).get("accuracy", 0.0)
        if accuracy < FIT:
            unfit = f"The old model is {100 * accuracy:.0f} % right: too weak to judge labels."
            look = look._replace(commit=commit, unfit=unfit)
            break
        unseen = new[~new["sha256"].isin(index.loc[index["split"] == "train", "sha256"])]
        images = unseen[["source", "sha256"]].set_axis(["file", "sha256"], axis=1)
        judged = doubt_labels(unseen, model.predict(workspace.root, workspace.root, images))
        if len(judged):
            look = SecondLook(judged, commit)
        break
    prepare = read_params(PrepareParams, workspace.root / PARAMS)
    rest = leave_out_doubted(plan, look.judged, leave_out, prepare)
    left_out = plan.loc[plan["action"] != rest["action"], "sha256"]
    return rest, look._replace(judged=look.judged.assign(left_out=look.judged["sha256"].isin(left_out)))


def name_scenes_of(workspace: Workspace, plan: pd.DataFrame) -> pd.Series | None:
    """Name the scene of each image of a plan as the stage ``prepare`` will name it; None if none is named."""
    recorded = record_scenes(read_scenes(workspace.scenes), plan)
    pattern = read_params(PrepareParams, workspace.root / PARAMS).scene_pattern
    names = (place.partition("/")[2] for place in plan["destination"])
    scenes = name_scenes(zip(names, plan["sha256"], strict=True), recorded, pattern)
    return plan["sha256"].map(lambda sha256: scenes.get(sha256, sha256)) if scenes else None


def find_doubts(workspace: Workspace, plan: pd.DataFrame, look: SecondLook, shown: int) -> Finding:
    """Hand over to the decision: contradictions, the audit, corrections of doubted labels, and the effect of opinions.

    The `shown` most doubted labels count as looked at.
    """
    unfit = Rule("contradictions", None, look.unfit)
    rules = [unfit if look.unfit else find_contradictions(look.judged)]
    audited = count_audited(plan, name_scenes_of(workspace, plan))
    limit = read_params(SecondLookParams, workspace.root / PARAMS).max_label_noise
    rules.append(audit_rule(audited, limit))
    record = remember_doubts(workspace, look, shown)
    notes = [describe_audit(audited), describe_corrections(record, plan, workspace)]
    looked_at = look.judged[~look.judged["by_model"].astype(bool)]
    if BLIND in looked_at:
        notes.append(describe_blind(compare_blind(looked_at)))
    return Finding(rules, list(filter(None, notes)), record=record, section="second_look")


def remember_doubts(workspace: Workspace, look: SecondLook, shown: int) -> dict[str, Any]:
    """Add the labels that are doubted now to those of earlier rounds, and of earlier runs of this round.

    ``doubted`` has the label of each content at the time of the first doubt, and ``judged`` counts all that the models
    judged. The same run gives the same record again.
    """
    before: dict[str, Any] = {}
    here: dict[str, Any] = {}
    if look.commit:
        before = read_decision(workspace, look.commit).findings.get("second_look") or {}
        last = read_decision(workspace)
        if last.replaces_commit == look.commit:
            here = last.findings.get("second_look") or {}
    now = look.judged.head(shown)
    doubted = dict(zip(now["sha256"], now["label"], strict=True)) | here.get("doubted", {}) | before.get("doubted", {})
    judged = len(look.judged) + before.get("judged", 0)
    return {"judged": judged, "doubted": doubted}


def describe_corrections(record: dict[str, Any], plan: pd.DataFrame, workspace: Workspace) -> str:
    """Say how many doubted labels people have corrected since; empty if none."""
    lineage = read_lineage(workspace.lineage)
    now = dict(zip(lineage["sha256"], lineage["label"], strict=True))
    labelled = plan[plan["label"].notna()]
    now |= dict(zip(labelled["sha256"], labelled["label"], strict=True))
    doubted = record["doubted"]
    corrected = sum(now.get(sha256, label) != label for sha256, label in doubted.items())
    if not corrected:
        return ""
    return (
        f"Of {count_of(len(doubted), 'doubted label')} people have corrected {corrected:,}: at least {corrected:,} of "
        f"{record['judged']:,} were wrong."
    )
