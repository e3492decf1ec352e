"""The story of a workspace: the accuracy after each published round, and after rounds to come."""

import json
import re
from contextlib import redirect_stdout, suppress
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from helpers.comparison.forecast import PARTS, drop_guessers, nest
from helpers.comparison.statistics import wilson
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import INDEX, METRICS, MODEL, PARAMS, RAW, read_table
from helpers.pipeline.pixels import read_pictures
from helpers.problems import Problem
from helpers.progress import progress_bar
from helpers.publishing import TAGS
from helpers.workspace import DECISION, Workspace

COLUMNS = ["name", "date", "training_images", "held_out_images", "accuracy", "low", "high", "verdict"]
COLUMNS += ["added", "corrected"]


def read_rounds(workspace: Workspace, decision: dict[str, Any]) -> pd.DataFrame:
    """List the tagged models, the oldest first, after the model that their first one replaced, named ``start``.

    The round of this `decision` ends the list as ``this round``, unless its model has a tag. A row has the `COLUMNS`:
    `accuracy` is that on the images that were held out when the model was trained, `low` and `high` its 95 % interval;
    `added` and `corrected` count labels. A fact that an older project did not record is missing.
    """
    tags = workspace.git("for-each-ref", "--sort=version:refname", "--format=%(refname:short)", f"refs/tags/{TAGS}")
    rounds = [_read_round(workspace, tag) | {"name": tag} for tag in tags.split()]
    if decision["model"] not in [one.get("model") for one in rounds]:
        rounds.append(_read_round(workspace) | {"name": "this round"})
    with suppress(Problem):  # the commit is not recorded, or not here
        start = _read_round(workspace, workspace.commit_of(rounds[0].get("replaces_commit", "")))
        rounds = [start | {"name": "start"}, *rounds] if "accuracy" in start else rounds
    return pd.DataFrame(rounds, columns=COLUMNS).convert_dtypes()


def _read_round(workspace: Workspace, revision: str = "") -> dict[str, Any]:
    """Return the decision of a round, at a revision or in the workspace, with the other facts of `COLUMNS`."""
    day, subject = f"{date.today()}", ""
    if revision:
        day, subject = workspace.git("log", "-1", "--format=%cs%n%s", revision).split("\n")[:2]
    decision, metrics = _load(workspace, revision, DECISION), _load(workspace, revision, METRICS)
    # Decisions of older projects have no field for the changes, but the commit's message counts them.
    counted = re.match(r"Retrain: images (\d+) added, (\d+) moved", subject)
    changes = dict(zip(("added", "corrected"), map(int, counted.groups()), strict=True)) if counted else {}
    facts = decision | {"date": day} | decision.get("changes", changes)
    with suppress(KeyError, TypeError):
        images, accuracy = metrics["images"], metrics["accuracy"]
        low, high = wilson(images * accuracy, images)
        facts |= {"held_out_images": images, "accuracy": accuracy, "low": low, "high": high}
        # All images that are not held out are trained on, and DVC's pointer to data/raw counts both.
        files = _load(workspace, revision, f"{RAW}.dvc")["outs"][0]["nfiles"]
        facts["training_images"] = decision.get("trained_on") or files - images
    return facts


def _load(workspace: Workspace, revision: str, file: str) -> dict[str, Any]:
    """Read a file of JSON or YAML; if it is missing or damaged, it has no fields."""
    with suppress(Problem, OSError, ValueError, yaml.YAMLError):
        present = workspace.root / file
        text = workspace.git("show", f"{revision}:{file}") if revision else present.read_text(encoding="utf-8")
        content = yaml.safe_load(text) if file.endswith(".dvc") else json.loads(text)
        return content if isinstance(content, dict) else {}
    return {}


def learn_from_parts(root: Path) -> pd.DataFrame:
    """Train on `PARTS` of the workspace's training images with its own settings, and predict the held-out images.

    A row per held-out image: its label, `actual`, and in a column for each number of training images the prediction,
    the last by the workspace's own model. Models that have learnt too little for a trend are left out.
    """
    from helpers.pipeline.train import train  # PyTorch takes two seconds, and only this needs it here

    index, params = read_table((root / INDEX).read_bytes()), read_params(TrainParams, root / PARAMS)
    classifier = load_classifier((root / MODEL).read_bytes(), MODEL)
    about, held_out = classifier.description, index[index["split"] == "held-out"]
    images = read_pictures(root, root / RAW, index, about.image_size, about.colour)
    answers = held_out.set_index("file")[["label"]].set_axis(["actual"], axis=1)
    with progress_bar(len(PARTS), "Training on fewer images", unit="models") as bar:
        for part in PARTS:
            split, model = nest(index, part), classifier
            if part > 1:
                with redirect_stdout(None):  # without the lines of each epoch
                    model, _ = train(images, index.assign(split=split), about, params)
            answers[int(split.eq("train").sum())] = model.predict(root, root / RAW, held_out).idxmax(axis=1)
            bar.update()
    return drop_guessers(answers)
