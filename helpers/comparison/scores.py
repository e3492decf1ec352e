"""Compare an old and a new classifier on the same held-out images, so that every test is paired."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from helpers.comparison.counting import Pairs, count_pairs
from helpers.comparison.policy import DecideParams
from helpers.comparison.tables import flips, per_class, recall_of, summary, tally
from helpers.pipeline.calibration import cross_fit
from helpers.problems import Problem


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on the same held-out images, with the tables drawn from them; each table is made once."""

    scores: pd.DataFrame  # from score_images
    lineage: pd.DataFrame  # from helpers.merge.lineage.read_lineage
    new: str  # version of the new model
    old: str  # version of the old one, empty if there is none
    baseline: str  # the commit of the old one
    trained_on: int = 0  # images of the new one
    policy: DecideParams = field(default_factory=DecideParams)
    known_to_new: Collection[str] = ()  # classes that only the new model knows
    known_to_old: Collection[str] = ()  # classes that only the old one knows: the new one has lost them
    warning: str = ""  # from helpers.comparison.unnamed_scenes.warn_of_scenes

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The rows of `scores` that count."""
        return self.scores[self.scores["scored"]]

    @cached_property
    def pairs(self) -> Pairs:
        return count_pairs(self.scored)

    @property
    def units(self) -> int:
        """The number of scenes that count or, where there are none, of images."""
        return self.pairs.scenes or self.pairs.images

    @cached_property
    def summary(self) -> pd.DataFrame:
        return summary(self.scores, self.policy.confidence)

    @cached_property
    def tally(self) -> pd.DataFrame:
        return tally(self.scores)

    @cached_property
    def per_class(self) -> pd.DataFrame:
        return per_class(self.scores)

    @cached_property
    def new_classes(self) -> pd.DataFrame:
        """The recall of the classes that only the new model knows, from `recall_of`."""
        return recall_of(self.scores, self.known_to_new, "new")

    @cached_property
    def lost_classes(self) -> pd.DataFrame:
        """The recall, by the old model, of the classes that the new model has lost, from `recall_of`."""
        return recall_of(self.scores, self.known_to_old, "old")

    @cached_property
    def flips(self) -> pd.DataFrame:
        return flips(self.scores)


def populations(held_out: pd.DataFrame, old_index: pd.DataFrame | None) -> pd.Series:
    """Tell of each held-out image of today whether the old model was trained on it.

    ``frozen``: held out then and now. ``new``: not in the old data. ``leaked``: in the old data and not held out, or
    unknown for want of an `old_index` (columns `sha256` and `split` of all images of the old model). Images are matched
    by content, so that no new name or label hides a leak. Where both tables have a `scene`, named as today, images of a
    scene that the old model was trained on are leaked, too.
    """
    if old_index is None:
        return pd.Series("leaked", index=held_out.index)
    kept_out = old_index["split"] == "held-out"
    now = held_out["sha256"]
    population = np.where(now.isin(old_index.loc[kept_out, "sha256"]), "frozen", "new")
    leaked = now.isin(old_index.loc[~kept_out, "sha256"])
    if "scene" in held_out and "scene" in old_index:
        leaked |= held_out["scene"].isin(old_index.loc[~kept_out, "scene"])
    return pd.Series(population, index=held_out.index).mask(leaked, "leaked")


def score_images(
    held_out: pd.DataFrame,
    new: pd.DataFrame,
    old: pd.DataFrame | None = None,
    old_index: pd.DataFrame | None = None,
    chosen_by_model: Collection[str] = (),
) -> pd.DataFrame:
    """Put the predictions of both models for each held-out image side by side.

    Predictions are the models' own. Confidences and probabilities are cross-fitted on the scored images
    (`helpers.pipeline.calibration.cross_fit`), so that no image is judged with a temperature that was fitted on it.

    `held_out` are today's held-out images: columns `file`, `label`, `sha256` and perhaps `scene`, all str. `new` and
    `old` are probabilities: index `file`, a column per class that the model knows, rows sum to 1. Without an `old`
    model every image counts as new. For `old_index` see `populations`. `chosen_by_model` are the contents, SHA-256,
    that people labelled because a model was least certain of them.

    The result has a row per held-out image, in their order: `file`, `sha256`, `scene` if there are scenes, `actual`,
    `population`; `by_chance`
    (bool: nothing but chance chose the image to be labelled, as far as anybody knows); `known_to`
    (``both``, ``old``, ``new`` or ``neither``: the models whose classes include the actual label); `scored` (bool: not
    leaked, and of a class that the old model knows, or the new one where there is no old model; a class that the new
    model has lost is always wrong); `flip` (``fixed``, ``broken`` or empty; only for scored images); and for
    each model `…_predicted`, `…_right` (bool), `…_confidence` (of the predicted class) and `…_probability` (of the
    actual class, 0 if the model does not know it). Without an old model its columns are missing.
    """
    models = {"new": new} if old is None else {"old": old, "new": new}
    scores = held_out.reindex(columns=held_out.columns.intersection(["file", "sha256", "scene"], sort=False))
    scores = scores.assign(actual=held_out["label"]).reset_index(drop=True)
    scores["population"] = "new" if old is None else populations(scores, old_index)

    scores["by_chance"] = ~scores["sha256"].isin(chosen_by_model)

    # An image counts if the old model was not trained on it and could know its label. New classes do not count as
    # mistakes of the old model: they would hide a loss on the classes that people rely on.
    knows = {name: scores["actual"].isin(table.columns) for name, table in models.items()}
    to_new, to_old = knows["new"], knows.get("old", False)
    scores["known_to"] = np.select([to_new & to_old, to_new, to_old], ["both", "new", "old"], "neither")
    scores["scored"] = (scores["population"] != "leaked") & (to_new if old is None else to_old)

    scores["flip"] = ""
    for name, table in models.items():
        scores = scores.assign(**_read_answers(scores, name, table))
    if old is not None:
        scores.loc[scores["scored"] & scores["new_right"] & ~scores["old_right"], "flip"] = "fixed"
        scores.loc[scores["scored"] & scores["old_right"] & ~scores["new_right"], "flip"] = "broken"
    return scores


def _read_answers(scores: pd.DataFrame, model: str, table: pd.DataFrame) -> dict[str, Any]:
    """Return a model's columns of `score_images`: its predictions, and its cross-fitted confidences."""
    probabilities = table.loc[scores["file"]].to_numpy(dtype=np.float64)
    if not np.isfinite(probabilities).all():
        raise Problem(
            f"The {model} model gives no probabilities: its weights are not finite numbers.",
            advice="Its training diverged. Lower train.learning_rate in params.yaml and train again.",
        )
    rows, best = np.arange(len(scores)), probabilities.argmax(axis=1)
    labels = table.columns.get_indexer(pd.Index(scores["actual"]))  # -1: the model does not know it
    fitted = cross_fit(probabilities, np.where(scores["scored"], labels, -1), scores["sha256"])
    return {
        f"{model}_predicted": table.columns[best],
        f"{model}_right": best == labels,
        f"{model}_confidence": fitted[rows, best],
        f"{model}_probability": np.where(labels >= 0, fitted[rows, labels], 0.0),
    }
