"""The second look of a round: what must hold before it, the look itself, and its finding for the decision."""

import pandas as pd
from pydantic import Field

from extras.label_studio.fields import BLIND
from extras.second_look.blind import compare_blind, describe_blind
from extras.second_look.doubts import Noise, SecondLook, doubt_labels, leave_out_suspects
from helpers.comparison.decision import Finding
from helpers.comparison.record import Rule
from helpers.comparison.words import percent
from helpers.pipeline.params import Params, PrepareParams, read_params
from helpers.pipeline.paths import PARAMS
from helpers.problems import require_choice
from helpers.round.past import load_past, past_models
from helpers.workspace import Workspace

ON_SUSPECT = ("keep", "leave out")


class SecondLookParams(Params):
    """Section ``second_look`` of ``params.yaml``: the limit for wrong labels."""

    max_label_noise: float = Field(0.05, ge=0, le=1)


def check_second_look(workspace: Workspace, on_suspect: str) -> None:
    """Raise a `Problem` if the parameter or a setting of the second look cannot be used."""
    require_choice("on_suspect", on_suspect, ON_SUSPECT)
    read_params(SecondLookParams, workspace.root / PARAMS)


def look_again(workspace: Workspace, plan: pd.DataFrame, on_suspect: str) -> tuple[pd.DataFrame, SecondLook]:
    """Let the old model judge the labels of a plan that it does not know, on images that it was not trained on.

    The plan comes back, without suspects if `on_suspect` is ``leave out``; see `leave_out_suspects`.
    """
    labelled = plan[plan["label"].notna() & (plan["action"] != "leave out")].drop_duplicates("sha256")
    unseen, opinions = labelled[:0], pd.DataFrame()
    for commit in past_models(workspace):
        model, index = load_past(workspace, commit)
        if model is None or index is None:
            break
        known_label = dict(zip(index["sha256"], index["label"], strict=True))
        new = labelled[labelled["sha256"].map(known_label) != labelled["label"]]
        if len(new):  # else this model is the round's own: ask the one before
            unseen = new[~new["sha256"].isin(index.loc[index["split"] == "train", "sha256"])]
            images = unseen[["source", "sha256"]].set_axis(["file", "sha256"], axis=1)
            opinions = model.predict(workspace.root, workspace.root, images)
            break
    judged, noise = doubt_labels(unseen, opinions)
    if on_suspect == "leave out":
        plan = leave_out_suspects(plan, judged, read_params(PrepareParams, workspace.root / PARAMS))
        staying = unseen["sha256"].isin(plan.loc[plan["action"] != "leave out", "sha256"]).to_numpy()
        _, noise = doubt_labels(unseen[staying], opinions[staying])
    return plan, SecondLook(judged, noise if len(judged) else None)


def find_noise(workspace: Workspace, look: SecondLook) -> Finding:
    """Hand over to the decision: a rule on wrong labels, and how much people agree with an opinion that they see."""
    rules, notes = [], []
    if look.noise:
        limit = read_params(SecondLookParams, workspace.root / PARAMS).max_label_noise
        rules.append(labels_rule(look.noise, limit))
    looked_at = look.judged[~look.judged["by_model"].astype(bool)]
    if BLIND in looked_at and (sentence := describe_blind(compare_blind(looked_at))):
        notes.append(sentence)
    return Finding(rules, notes, record=look.noise and look.noise._asdict(), section="second_look")


def labels_rule(noise: Noise, most: float) -> Rule:
    """Wrong labels spoil training and held-out images alike, so no comparison on these labels can reveal them."""
    text = (
        f"About {percent(noise.share)} of the new labels are wrong (95 % interval {percent(noise.low)} to "
        f"{percent(noise.high)}); at most {100 * most:g} % may be, unless the interval begins at 0."
    )
    return Rule("labels", noise.share <= most or noise.low == 0, text)
