"""The story of a workspace: the accuracy of each published model, and after rounds to come."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.comparison.forecast import PARTS, drop_poor_models, subsample
from helpers.comparison.statistics import wilson
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import INDEX, METRICS, MODEL, PARAMS, RAW, read_table
from helpers.problems import Problem
from helpers.progress import progress_bar
from helpers.round.publishing import PUBLISHED_BECAUSE
from helpers.round.record import DEFAULTS, read_decision
from helpers.round.seed_noise import train_and_predict
from helpers.round.state import TAGS
from helpers.workspace import DECISION, Workspace

COLUMNS = ["name", "date", "training_images", "held_out_images", "accuracy", "low", "high", "verdict"]
COLUMNS += ["added", "corrected", "published_because"]


def read_rounds(workspace: Workspace, decision: dict[str, Any]) -> pd.DataFrame:
    """List the published models, the oldest first, after the model that the first one replaced, named ``start``.

    Each commit with a decision of its own is a round, under the name of its tag or the short hash of the commit. The
    round of this `decision` ends the list as ``this round``, without a date: so its report is the same when it is made
    again after publishing. A row has the `COLUMNS`: `accuracy` is that on the images that were held out when the model
    was trained, `low` and `high` its 95 % interval; `added` and `corrected` count labels; `published_because` is the
    reason for publishing a model that was not accepted. A missing or damaged file leaves gaps.
    """
    told = [DEFAULTS]  # decisions; a commit that takes the record away has the defaults alone
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
            if judged["accepted"] is False:
                facts["published_because"] = _read_reason(message)
            rounds.append(_read_round(workspace, judged, commit) | facts)
    while rounds and rounds[-1]["model"] == decision["model"]:
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


def _read_round(workspace: Workspace, decision: dict[str, Any], revision: str = "") -> dict[str, Any]:
    """Return a decision and its changes, with the figures of its model at a revision or in the workspace."""
    metrics, facts = workspace.load(METRICS, revision), decision | decision["changes"]
    with suppress(KeyError, TypeError):
        images, accuracy = metrics["images"], metrics["accuracy"]
        low, high = wilson(images * accuracy, images)
        facts |= {"held_out_images": images, "accuracy": accuracy, "low": low, "high": high}
        # All images that are not held out are trained on, and DVC's pointer to data/raw counts both.
        files = workspace.load(f"{RAW}.dvc", revision)["outs"][0]["nfiles"]
        facts["training_images"] = decision["trained_on"] or files - images
    return facts


def learn_from_parts(root: Path) -> pd.DataFrame:
    """Train on `PARTS` of the workspace's training images with its own settings, and predict the held-out images.

    A row per held-out image: its label, `actual`, and in a column for each number of training images the prediction,
    the last by the workspace's own model. Models that have learnt too little for a trend are left out.
    """
    index, params = read_table((root / INDEX).read_bytes()), read_params(TrainParams, root / PARAMS)
    classifier = load_classifier((root / MODEL).read_bytes(), MODEL)
    held_out = index[index["split"] == "held-out"]
    answers = held_out.set_index("file")[["label"]].set_axis(["actual"], axis=1)
    with progress_bar(len(PARTS), "Training on fewer images", unit="models") as bar:
        for part in PARTS:
            split = subsample(index, part)
            if part > 1:
                predicted = train_and_predict(root, index.assign(split=split), classifier, held_out, params)
            else:
                predicted = classifier.predict(root, root / RAW, held_out).idxmax(axis=1).to_numpy()
            answers[int(split.eq("train").sum())] = predicted
            bar.update()
    return drop_poor_models(answers)
