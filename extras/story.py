"""The story of the rounds so far: the accuracy of each published model, as a table and a chart."""

import re
from contextlib import suppress
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from helpers.comparison.counting import design_effect
from helpers.comparison.decision import Finding
from helpers.comparison.record import Decision
from helpers.comparison.scores import Comparison
from helpers.comparison.statistics import wilson
from helpers.comparison.words import listed, percent
from helpers.figures.charts import make_panels, mark_models
from helpers.figures.style import QUIET, Chart, label_text, styled
from helpers.pipeline.paths import METRICS, RAW
from helpers.problems import Problem
from helpers.round.publishing import PUBLISHED_BECAUSE
from helpers.round.record import read_decision
from helpers.round.tags import TAGS
from helpers.workspace import DECISION, Workspace

COLUMNS = ["name", "date", "training_images", "held_out_images", "chosen_by_chance", "accuracy", "low", "high"]
COLUMNS += ["verdict", "added", "corrected", "classes", "published_because"]


def find_accuracy(comparison: Comparison) -> Finding:
    """Hand over to the decision how many held-out images chance chose, and how many of them the new model gets right.

    Images that were labelled because a model was least certain of them are harder than others. Neither leaked images
    nor new classes are left out: the new model was trained on no held-out image.
    """
    by_chance = comparison.scores[comparison.scores["by_chance"]]
    right, scenes = by_chance["new_right"], by_chance.get("scene")
    record = {"images": len(right), "right": int(right.sum())}
    # Of a scene, so many images tell as much as one.
    effect = {} if scenes is None else {"design_effect": design_effect(right, scenes)}
    return Finding(record=record | effect)


def read_rounds(workspace: Workspace, decision: Decision) -> pd.DataFrame:
    """List the published models, the oldest first, after the model that the first one replaced, named ``start``.

    Each commit with a decision of its own is a round, under the name of its tag or the short hash of the commit. The
    round of this `decision` ends the list as ``this round``, without a date: so its report is the same when it is made
    again after publishing. A row has the `COLUMNS`: `accuracy` is that on the images that were held out when the model
    was trained, and `low` and `high` are its 95 % interval. Where not all of them count, but only those that chance
    chose, `chosen_by_chance` is the number of these; decisions before schema 4 count all. `added` and `corrected` count
    labels; `classes` are new and lost ones; `published_because` is the reason for publishing a model that was not
    accepted. A missing or damaged file leaves gaps.
    """
    told = [Decision()]  # a commit that takes the record away has none
    rounds: list[dict[str, Any]] = []
    names = _read_tags(workspace)
    # Like `find_round`, this follows the side of a merge that the decision comes from.
    log = workspace.git("log", "--reverse", "-z", "--format=%H %cs%n%B", "--", DECISION)
    for entry in filter(None, log.split("\0")):
        head, _, message = entry.partition("\n")
        commit, date = head.split()
        judged = read_decision(workspace, commit)
        if judged not in told:  # a revert brings an earlier one back
            told.append(judged)
            facts = {"name": names.get(commit, commit[:7]), "date": date}
            if judged.accepted is False:
                facts["published_because"] = _read_reason(message)
            rounds.append(_read_round(workspace, judged, commit) | facts)
    while rounds and rounds[-1]["model"] == decision.model:
        rounds.pop()
    rounds.append(_read_round(workspace, read_decision(workspace)) | {"name": "this round"})
    with suppress(Problem):  # the commit is not recorded, or not here
        commit = workspace.commit_of(rounds[0]["replaces_commit"])
        start = _read_round(workspace, read_decision(workspace, commit), commit)
        facts = {"name": "start", "date": workspace.git("log", "-1", "--format=%cs", commit).strip()}
        rounds = [start | facts, *rounds] if "accuracy" in start else rounds
    return pd.DataFrame(rounds, columns=COLUMNS).convert_dtypes()


def _read_tags(workspace: Workspace) -> dict[str, str]:
    """Map commits to the tags of their models; of several, the first counts."""
    form = "--format=%(refname:lstrip=2) %(objectname) %(*objectname)"  # an annotated tag points at the second one
    lines = workspace.git("for-each-ref", "--sort=-version:refname", form, f"refs/tags/{TAGS}").splitlines()
    return {objects[-1]: name for name, *objects in map(str.split, lines)}


def _read_reason(message: str) -> str:
    """Read from a commit's message why a model was published that was not accepted; squashed rounds have several."""
    reasons = re.findall(rf"{PUBLISHED_BECAUSE}(.+?)(?:\n\s*\n|\Z)", message, re.DOTALL)
    return " ".join(reasons[-1].split()) if reasons else "not recorded"


def _read_round(workspace: Workspace, decision: Decision, revision: str = "") -> dict[str, Any]:
    """Return a decision and its changes, with the figures of its model at a revision or in the workspace."""
    metrics = workspace.load(METRICS, revision)
    facts: dict[str, Any] = {"model": decision.model, "replaces_commit": decision.replaces_commit, **decision.changes}
    facts["verdict"] = decision.verdict or None
    kinds = {"new": decision.new_classes, "lost": decision.lost_classes}
    facts["classes"] = "; ".join(_list_classes(kind, classes) for kind, classes in kinds.items() if classes) or None
    with suppress(KeyError, TypeError, ZeroDivisionError):
        facts["held_out_images"] = images = metrics["images"]
        told = decision.findings.get("story") or {"images": images, "right": images * metrics["accuracy"]}
        facts["chosen_by_chance"] = told["images"] if told["images"] != images else None
        effect = told.get("design_effect", 1)
        low, high = wilson(told["right"] / effect, told["images"] / effect)
        facts |= {"accuracy": told["right"] / told["images"], "low": low, "high": high}
        # All images that are not held out are trained on, and DVC's pointer to data/raw counts both.
        files = workspace.load(f"{RAW}.dvc", revision)["outs"][0]["nfiles"]
        facts["training_images"] = decision.trained_on or files - images
    return facts


def _list_classes(kind: str, classes: list[dict[str, Any]]) -> str:
    return f"{kind}: {listed([row['class'] for row in classes])}"


def rounds_table(rounds: pd.DataFrame) -> pd.DataFrame:
    """Write the story of the rounds, from `read_rounds`, as text."""
    accuracy, low, high = (rounds[name].map(percent, na_action="ignore") for name in ("accuracy", "low", "high"))
    table = rounds.assign(accuracy=accuracy, low=low + " to " + high).drop(columns="high")
    rare = ["chosen_by_chance", "classes", "published_because"]
    counts = ["training_images", "held_out_images", "chosen_by_chance", "added", "corrected"]
    table[counts] = table[counts].map("{:,}".format, na_action="ignore").astype("string")
    table = table.drop(columns=[name for name in rare if table[name].isna().all()])
    table = table.rename(columns={"name": "model", "low": "95 % interval", "held_out_images": "held-out images"})
    table = table.rename(columns=lambda name: name.replace("_", " ").capitalize())
    return table.astype("string").fillna("").set_index("Model")


@styled
def draw_story(rounds: pd.DataFrame) -> Chart | None:
    """Show the accuracy of each model by its number of training images, from `read_rounds`."""
    known = rounds.dropna(subset=["training_images", "accuracy"])
    if len(known) < 2:
        return None
    images, accuracy = known["training_images"].astype(float), known["accuracy"].astype(float)
    before, now = percent(accuracy.iloc[0]), percent(accuracy.iloc[-1])
    change = "rose" if accuracy.iloc[-1] > accuracy.iloc[0] else "fell"
    title = f"Accuracy stayed at {now}" if before == now else f"Accuracy {change} from {before} to {now}"
    title += f" with {images.iloc[-1]:,.0f} training images, {images.iloc[0]:,.0f} at the start"
    note = "Lines: 95 % intervals. Each model on the images that were held out when it was trained"
    note += " and, since decisions record it, that chance chose."
    refused = known["published_because"].notna()
    if refused.any():
        note += " Rings: published, although not accepted."

    figure, (axes,) = make_panels(1, 2.9, title, note)
    axes.plot(images, accuracy, color=QUIET, lw=1, zorder=1)
    mark_models(axes, images, accuracy, known["low"], known["high"], refused)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")

    # Name the models from the last one back, where there is room.
    free = float("inf")
    for name, x, high in zip(known["name"][::-1], images[::-1], known["high"][::-1], strict=True):
        if abs(free - x) > (images.max() - images.min()) / 20:
            text = label_text(name.removeprefix("model/"))
            axes.annotate(text, (x, high), (0, 3), textcoords="offset points", ha="center", size=8)
            free = x
    return figure
