"""The story of a workspace: the accuracy of each tagged model, and after rounds to come."""

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
from helpers.round.seed_noise import train_and_predict
from helpers.round.state import TAGS
from helpers.workspace import DECISION, Workspace

COLUMNS = ["name", "date", "training_images", "held_out_images", "accuracy", "low", "high", "verdict"]
COLUMNS += ["added", "corrected"]


def read_rounds(workspace: Workspace, decision: dict[str, Any]) -> pd.DataFrame:
    """List the tagged models, the oldest first, after the model that their first one replaced, named ``start``.

    The round of this `decision` ends the list as ``this round``, without a date: so its report is the same when it is
    made again after publishing. A row has the `COLUMNS`: `accuracy` is that on the images that were held out when the
    model was trained, `low` and `high` its 95 % interval; `added` and `corrected` count labels. A missing or
    damaged file leaves gaps.
    """
    tags = workspace.git("for-each-ref", "--sort=version:refname", "--format=%(refname:short)", f"refs/tags/{TAGS}")
    rounds = [_read_round(workspace, tag) | {"name": tag} for tag in tags.split()]
    rounds = [one for one in rounds if one.get("model") != decision["model"]]
    rounds.append(_read_round(workspace) | {"name": "this round"})
    with suppress(Problem):  # the commit is not recorded, or not here
        start = _read_round(workspace, workspace.commit_of(rounds[0].get("replaces_commit", "")))
        rounds = [start | {"name": "start"}, *rounds] if "accuracy" in start else rounds
    return pd.DataFrame(rounds, columns=COLUMNS).convert_dtypes()


def _read_round(workspace: Workspace, revision: str = "") -> dict[str, Any]:
    """Return the decision of a round, at a revision or in the workspace, with the other facts of `COLUMNS`."""
    decision, metrics = workspace.load(DECISION, revision), workspace.load(METRICS, revision)
    facts = decision | decision.get("changes", {})
    facts["date"] = workspace.git("log", "-1", "--format=%cs", revision).strip() if revision else None
    with suppress(KeyError, TypeError):
        images, accuracy = metrics["images"], metrics["accuracy"]
        low, high = wilson(images * accuracy, images)
        facts |= {"held_out_images": images, "accuracy": accuracy, "low": low, "high": high}
        # All images that are not held out are trained on, and DVC's pointer to data/raw counts both.
        files = workspace.load(f"{RAW}.dvc", revision)["outs"][0]["nfiles"]
        facts["training_images"] = decision.get("trained_on") or files - images
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
