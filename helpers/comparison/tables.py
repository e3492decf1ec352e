"""The tables drawn from `helpers.comparison.scores.score_images`; `Comparison` makes each of them once."""

from collections.abc import Callable, Collection

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from helpers.comparison.counting import count_pairs, count_scenes, measure_shares, vote
from helpers.comparison.statistics import difference_interval
from helpers.pipeline.calibration import SMALLEST

METRICS = ["accuracy", "macro F1", "loss", "calibration error"]
BINS = 15  # of confidence, as Guo et al. 2017


def models_in(scores: pd.DataFrame) -> list[str]:
    return [name for name in ("old", "new") if f"{name}_predicted" in scores]


def tally(scores: pd.DataFrame) -> pd.DataFrame:
    """Count the images and flips of each population, ``frozen``, ``new``, both ``together`` and ``leaked``."""
    rows = {}
    for name in ("frozen", "new", "together", "leaked"):
        images = scores[scores["population"].isin(["frozen", "new"] if name == "together" else [name])]
        rows[name] = [len(images), int(images["scored"].sum()), *count_flips(images)]
    columns = ["images", "scored", "fixed", "broken"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("population")


def summary(scores: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Sum up both models and their difference on the scored images, for each population and for both together.

    Index `population` (``frozen``, ``new``, ``together``; only those with scored images) and `metric`: ``accuracy``;
    ``macro F1`` over the classes that the images belong to; ``loss``, the mean cross-entropy in nats; ``calibration
    error``, the expected one over 15 bins of equal width (Guo et al. 2017, arXiv 1706.04599). Columns: `images`, `new`;
    and if there is an old model `old`, `difference` (new minus old), and its bounds `low` and `high`, each of which
    holds with this `confidence`: Tango's for accuracy, else percentiles of a paired bootstrap with a fixed seed (NaN
    for a single image). Where images have scenes, their number is a column, too, and the bootstrap draws scenes.
    """
    scored = scores[scores["scored"]]
    if scored.empty:
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=["population", "metric"]))
    tables = {name: _summarise(images, confidence) for name, images in scored.groupby("population")}
    return pd.concat(tables | {"together": _summarise(scored, confidence)}, names=["population", "metric"])


def _summarise(images: pd.DataFrame, confidence: float) -> pd.DataFrame:
    n = len(images)
    measures = {name: _measure(images, name) for name in models_in(images)}
    each_once = np.ones((1, n))
    table = pd.DataFrame({name: measure(each_once)[:, 0] for name, measure in measures.items()}, index=METRICS)
    table.insert(0, "images", n)
    if "scene" in images:
        table.insert(1, "scenes", count_scenes(images))
    if "old" not in measures:
        return table

    scene = pd.factorize(images["scene"])[0] if "scene" in images else np.arange(n)
    units = np.unique(scene)

    def difference(draws: np.ndarray, axis: int) -> np.ndarray:
        times = np.stack([np.bincount(draw, minlength=len(units)) for draw in draws])[:, scene]
        return measures["new"](times) - measures["old"](times)

    from scipy.stats import bootstrap  # takes half a second, in which `helpers.round.training.retrain` is idle

    table["difference"] = table["new"] - table["old"]
    table["low"], table["high"] = np.nan, np.nan
    if len(units) > 1:
        options = {"n_resamples": 2000, "method": "percentile", "confidence_level": 2 * confidence - 1}
        options["batch"] = 100  # resamples in memory at a time
        table["low"], table["high"] = bootstrap([units], difference, rng=0, **options).confidence_interval
    table.loc["accuracy", ["low", "high"]] = difference_interval(*count_pairs(images)[:3], confidence)
    return table


def _measure(images: pd.DataFrame, model: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from the times that each draw has each image, [draws, images], to float [metrics, draws]."""
    right, confidence = images[f"{model}_right"].to_numpy(), images[f"{model}_confidence"].to_numpy()
    losses = -np.log(images[f"{model}_probability"].to_numpy().clip(SMALLEST))

    # Rows are images; columns are the classes that the images belong to, and bins of confidence.
    labels = pd.get_dummies(images["actual"])
    answers = pd.get_dummies(images[f"{model}_predicted"]).reindex(columns=labels.columns, fill_value=False)
    bins = pd.get_dummies((np.ceil(BINS * confidence) - 1).clip(0, BINS - 1))
    of_class, called = csr_array(labels, dtype=float), csr_array(answers, dtype=float)
    hits = csr_array(labels.mul(right, axis=0), dtype=float)
    excess = csr_array(bins.mul(confidence - right, axis=0))

    def measure(times: np.ndarray) -> np.ndarray:
        # Times a matrix, they are the sums of its columns.
        support, n = times @ of_class, times.sum(axis=1)
        f1 = 2 * (times @ hits) / np.maximum(support + times @ called, 1)
        macro_f1 = f1.sum(axis=1) / (support > 0).sum(axis=1)
        calibration_error = np.abs(times @ excess).sum(axis=1) / n
        return np.stack([times @ right / n, macro_f1, times @ losses / n, calibration_error])

    return measure


def per_class(scores: pd.DataFrame) -> pd.DataFrame:
    """Measure the recall of each class on the images that are not leaked.

    Index `actual`, sorted. Columns: `known_to`; `support` (images of the class); for each model `…_recall`, and
    `…_recall_low` and `…_recall_high` (Wilson's 95 % interval), NaN if it never knew the class; and if there is an old
    model `recall_difference` (new minus old), and how many of its images, or scenes, only the new model (`rose`) or
    only the old one (`fell`) gets right. The new model's recall of a class that it has lost is 0.
    """
    unseen = scores[scores["population"] != "leaked"]
    classes = unseen.groupby("actual")
    table = pd.DataFrame({"known_to": classes["known_to"].first(), "support": classes.size()})
    for name in models_in(scores):
        knowing = ["old", "both"] if name == "old" else ["old", "new", "both"]
        recall = measure_shares(unseen[f"{name}_right"], unseen["actual"], unseen.get("scene"))
        recall = recall.where(table["known_to"].isin(knowing))
        table[f"{name}_recall"] = recall["share"]
        table[f"{name}_recall_low"], table[f"{name}_recall_high"] = recall["low"], recall["high"]
    if "old_recall" in table:
        table["recall_difference"] = table["new_recall"] - table["old_recall"]
        gained = unseen["flip"].map({"fixed": 1, "broken": -1, "": 0})
        table[["rose", "fell"]] = vote(gained, unseen["actual"], unseen.get("scene"))
    return table


def recall_of(scores: pd.DataFrame, classes: Collection[str], model: str) -> pd.DataFrame:
    """Count, for each of these classes, its `images` that are not leaked, and how many of them a model gets `right`.

    The index, the classes, is sorted; of a class without such images, both counts are 0.
    """
    if not classes:
        return pd.DataFrame(columns=["images", "right"], dtype=int)
    unseen = scores[scores["population"] != "leaked"]
    right = unseen[f"{model}_right"].groupby(unseen["actual"]).agg(["size", "sum"])
    return right.reindex(sorted(classes), fill_value=0).set_axis(["images", "right"], axis=1).rename_axis("class")


def vote_on_classes(scores: pd.DataFrame, classes: Collection[str], model: str) -> pd.DataFrame:
    """Count, for each of these classes, the images, or scenes, that a model gets right (`won`) and wrong (`lost`)."""
    unseen = scores[scores["population"].ne("leaked") & scores["actual"].isin(classes)]
    right = unseen[f"{model}_right"].map({True: 1, False: -1})
    return vote(right, unseen["actual"], unseen.get("scene")).reindex(sorted(classes), fill_value=0)


def flips(scores: pd.DataFrame) -> pd.DataFrame:
    """Pick the scored images that exactly one model gets right, the new model's most confident predictions first.

    Those that were right before hurt users even if accuracy rises (Yan et al. 2021, arXiv 2011.09161).
    """
    flipped = scores[scores["flip"] != ""]
    return flipped.sort_values("new_confidence", ascending=False, kind="stable").reset_index(drop=True)


def count_flips(scores: pd.DataFrame) -> tuple[int, int]:
    """Count the images that only the new model gets right, and those that only the old one does."""
    return int((scores["flip"] == "fixed").sum()), int((scores["flip"] == "broken").sum())
