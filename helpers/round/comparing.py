"""Compare the models of a workspace, and read the tables that go with it."""

from contextlib import suppress

import pandas as pd

from helpers.comparison.policy import DecideParams
from helpers.comparison.scores import Comparison, score_images
from helpers.comparison.unnamed_scenes import warn_of_scenes
from helpers.labels.fields import LEAST_CERTAIN
from helpers.merge.lineage import read_lineage
from helpers.pipeline.answers import read_answers
from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier, load_classifier
from helpers.pipeline.params import PrepareParams, read_params
from helpers.pipeline.paths import HISTORY, INDEX, MODEL, NEAR_DUPLICATES, PARAMS, PREDICTIONS, read_table
from helpers.pipeline.pixels import picture_cache
from helpers.problems import Problem
from helpers.round.past import find_baseline, load_past, name_as_today, read_history
from helpers.workspace import Workspace


def compare_models(workspace: Workspace, baseline: str = "HEAD") -> Comparison:
    """Compare the model in the workspace with the one at `baseline` (see `find_baseline`) on today's held-out images.

    Answers that ``evaluate`` has recorded are read, and a model predicts only the images that it has not answered yet.
    A `Problem` tells that there is no such revision, or that neither DVC's cache nor its remote has the model of it.
    """
    index = read_index(workspace)
    held_out = index[index["split"] == "held-out"]
    new = load_classifier((workspace.root / MODEL).read_bytes(), MODEL)
    commit = find_baseline(workspace, baseline)
    old, old_index = load_past(workspace, commit)
    if old_index is not None and "scene" in index:
        old_index["scene"] = name_as_today(old_index, index)
    lineage = read_lineage(workspace.lineage)
    scores = score_images(
        held_out,
        _answer(workspace, new, held_out),
        _answer(workspace, old, held_out, commit) if old else None,
        old_index,
        lineage.loc[lineage["queue"] == LEAST_CERTAIN, "sha256"],
    )
    classes, old_classes = set(new.description.classes), set(old.description.classes) if old else set()
    return Comparison(
        scores,
        lineage,
        new.version,
        old.version if old else "",
        commit,
        trained_on=int(new.description.trained_on.get("images", 0)),
        policy=read_params(DecideParams, workspace.root / PARAMS),
        known_to_new=classes - old_classes if old else (),
        known_to_old=old_classes - classes,
        warning="" if "scene" in index else _warn_of_scenes(workspace, index),
    )


def _warn_of_scenes(workspace: Workspace, index: pd.DataFrame) -> str:
    """Apply `warn_of_scenes` to the images of the workspace, whose hashes the stage ``prepare`` has cached."""
    prepare = read_params(PrepareParams, workspace.root / PARAMS)
    pictures = picture_cache(workspace.root, Input(prepare.image_size, prepare.colour)).read(workspace.raw, index)
    with suppress(KeyError):  # a stage of one's own writes another table
        return warn_of_scenes(index, pictures.notes, read_near_duplicates(workspace))
    return ""


def _answer(workspace: Workspace, classifier: Classifier, images: pd.DataFrame, commit: str = "") -> pd.DataFrame:
    """Return the answers of the classifier at a commit, or in the workspace, for these images.

    Those that are recorded there are read, by content; the classifier predicts the others.
    """
    recorded = None
    with suppress(OSError, Problem):  # the record is missing or lost
        recorded = workspace.read_at(commit, PREDICTIONS) if commit else (workspace.root / PREDICTIONS).read_bytes()
    known = read_answers(recorded, classifier)
    unknown = images[~images["sha256"].isin(known.index)]
    predicted = classifier.predict(workspace.root, workspace.raw, unknown).set_axis(unknown["sha256"])
    answers = pd.concat([known, predicted])
    answers = answers[~answers.index.duplicated()]  # two files may have the same content
    return answers.loc[images["sha256"]].set_axis(pd.Index(images["file"]))


def read_histories(workspace: Workspace, comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read the learning curves of the new model and, if there is one, of the old model."""
    return pd.read_csv(workspace.root / HISTORY), read_history(workspace, comparison.baseline)


def read_index(workspace: Workspace) -> pd.DataFrame:
    """Read the list of all images, as the stage ``prepare`` wrote it."""
    return read_table((workspace.root / INDEX).read_bytes())


def read_near_duplicates(workspace: Workspace) -> pd.DataFrame:
    """Read the held-out images that nearly equal a training image, as the stage ``prepare`` found them."""
    return read_table((workspace.root / NEAR_DUPLICATES).read_bytes())
