"""The tables drawn from `helpers.comparison.scores.score_images`; `Comparison` makes each of them once."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import bootstrap, hypergeom

from helpers.comparison.statistics import bonett_price, mcnemar, wilson
from helpers.pipeline.calibration import SMALLEST

METRICS = ["accuracy", "macro F1", "loss", "calibration error"]
BINS = 15  # of confidence, as Guo et al. 2017


def models_in(scores: pd.DataFrame) -> list[str]:
    return [name for name in ("old", "new") if f"{name}_predicted" in scores]


def tally(scores: pd.DataFrame) -> pd.DataFrame:
    """Count the images and flips of each population, ``frozen``, ``new``, both ``together`` and ``leaked``.

    The two p are McNemar's.
    """
    rows = {}
    for name in ("frozen", "new", "together", "leaked"):
        images = scores[scores["population"].isin(["frozen", "new"] if name == "together" else [name])]
        fixed, broken = _count_flips(images)
        rows[name] = [len(images), int(images["scored"].sum()), fixed, broken, *mcnemar(fixed, broken)]
    columns = ["images", "scored", "fixed", "broken", "mid_p", "exact_p"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("population")


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Sum up both models and their difference on the scored images, for each population and for both together.

    Index `population` (``frozen``, ``new``, ``together``; only those with scored images) and `metric`: ``accuracy``;
    ``macro F1`` over the classes that the images belong to; ``loss``, the mean cross-entropy in nats; ``calibration
    error``, the expected one over 15 bins of equal width (Guo et al. 2017, arXiv 1706.04599). Columns: `images`, `new`;
    and if there is an old model `old`, `difference` (new minus old), and its 95 % interval `low` and `high`:
    Bonett–Price for accuracy, else percentiles of a paired bootstrap with a fixed seed (NaN for a single image).
    """
    scored = scores[scores["scored"]]
    if scored.empty:
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=["population", "metric"]))
    tables = {name: _summarise(images) for name, images in scored.groupby("population")}
    return pd.concat(tables | {"together": _summarise(scored)}, names=["population", "metric"])


def _summarise(images: pd.DataFrame) -> pd.DataFrame:
    n = len(images)
    measures = {name: _measure(images, name) for name in models_in(images)}
    each_once = np.ones((1, n))
    table = pd.DataFrame({name: measure(each_once)[:, 0] for name, measure in measures.items()}, index=METRICS)
    table.insert(0, "images", n)
    if "old" in measures:
        table["difference"] = table["new"] - table["old"]
        table["low"], table["high"] = np.nan, np.nan
        if n > 1:
            table["low"], table["high"] = _resample(measures["new"], measures["old"], n)
        table.loc["accuracy", ["low", "high"]] = bonett_price(*_count_flips(images), n)
    return table


Measure = Callable[[np.ndarray], np.ndarray]


def _resample(new: Measure, old: Measure, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap the difference of two models on the same images: the low and the high end for each metric."""

    def difference(draws: np.ndarray, axis: int) -> np.ndarray:
        times = np.stack([np.bincount(draw, minlength=n) for draw in draws])
        return new(times) - old(times)

    options = {"n_resamples": 2000, "batch": 100, "method": "percentile"}  # a batch is in memory at a time
    return bootstrap([np.arange(n)], difference, rng=0, **options).confidence_interval


def _measure(images: pd.DataFrame, model: str) -> Measure:
    """Return a function from the times that each draw has each image, [draws, images], to float [metrics, draws]."""
    n = len(images)
    right = (images[f"{model}_predicted"] == images["actual"]).to_numpy()
    confidence = images[f"{model}_confidence"].to_numpy()
    losses = -np.log(images[f"{model}_probability"].to_numpy().clip(SMALLEST))
    classes = pd.Index(images["actual"].unique())
    actual = classes.get_indexer(pd.Index(images["actual"]))
    predicted = classes.get_indexer(pd.Index(images[f"{model}_predicted"]))  # -1: a class of none of the images
    bins = (np.ceil(BINS * confidence) - 1).clip(0, BINS - 1).astype(int)

    def matrix(values: np.ndarray, columns: np.ndarray, width: int) -> csr_array:
        """Each image's value in its column: the draws times this matrix are the sums of each column."""
        return csr_array((values.astype(float), (np.arange(n), columns)), shape=(n, width))

    of_class = matrix(np.ones(n), actual, len(classes))
    called = matrix(predicted >= 0, predicted.clip(0), len(classes))
    hits = matrix(right, actual, len(classes))
    excess = matrix(confidence - right, bins, BINS)

    def measure(times: np.ndarray) -> np.ndarray:
        support = times @ of_class
        f1 = 2 * (times @ hits) / np.maximum(support + times @ called, 1)
        return np.stack(
            [
                times @ right / n,
                f1.sum(axis=1) / (support > 0).sum(axis=1),
                times @ losses / n,
                np.abs(times @ excess).sum(axis=1) / n,
            ]
        )

    return measure


def per_class(scores: pd.DataFrame) -> pd.DataFrame:
    """Measure both models class by class: on the scored images, and a class that one model knows on all unleaked ones.

    Index `label`, sorted. Columns: `known_to`; `support` (images of the class); for each model `…_recall`,
    `…_recall_low` and `…_recall_high` (Wilson's 95 % interval), `…_precision` and `…_f1`; and if there is an old model
    `recall_difference`, `precision_difference` and `f1_difference` (new minus old). NaN if a model does not know the
    class, and for the precision of a class that was never predicted.
    """
    unseen = scores[scores["population"] != "leaked"]
    shared = unseen.loc[unseen["scored"], "actual"]
    classes = unseen.groupby("actual")
    table = pd.DataFrame({"known_to": classes["known_to"].first(), "support": classes.size()}).rename_axis("label")
    for name in models_in(scores):
        predicted, known = unseen[f"{name}_predicted"], table["known_to"].isin([name, "both"])
        support = table["support"].where(known)
        hits = predicted[predicted == unseen["actual"]].value_counts().reindex(table.index, fill_value=0)
        # A class that both models know is not to blame for images whose class is new to one of them.
        called = predicted[unseen["scored"] | ~predicted.isin(shared)].value_counts().reindex(table.index, fill_value=0)
        table[f"{name}_recall"] = hits / support
        table[f"{name}_recall_low"], table[f"{name}_recall_high"] = wilson(hits, support)
        table[f"{name}_precision"] = (hits / called).where(known)
        table[f"{name}_f1"] = 2 * hits / (support + called)
    if "old_predicted" in scores:
        for metric in ("recall", "precision", "f1"):
            table[f"{metric}_difference"] = table[f"new_{metric}"] - table[f"old_{metric}"]
    return table


def slices(scores: pd.DataFrame, lineage: pd.DataFrame) -> pd.DataFrame:
    """Measure how far the models agree with the labels of each annotator, labelling round and kind of label.

    Neither model trained on the scored images: labels with which the new one agrees far less than with others are worth
    a look. Hard images have the same effect, so it is a hint, no proof. A row of `lineage` counts if its content and
    label are those of the image: a label that was changed by hand later is nobody's.

    Index `by` (``annotator``, ``labelling round``: the first 12 digits of its export's sha256, ``label made by``: a
    person or a model) and `value`, ``not recorded`` for images without lineage. Columns: `images`; for each model its
    accuracy `old` and `new` with Wilson's 95 % interval `…_low` and `…_high`; `p`: the probability that the new model
    gets so few right if the slice were a random draw of all scored images (one-sided hypergeometric,
    Bonferroni-corrected for the number of slices); `suspect`: `p` is below 0.05. The least agreement comes first.
    """
    models, scored = models_in(scores), scores[scores["scored"]]
    known = lineage[["sha256", "label", "annotators", "export_sha256", "by_model"]]
    labels = scored.merge(known, how="left", left_on=["sha256", "actual"], right_on=["sha256", "label"])
    for name in models:
        labels[name] = labels[f"{name}_predicted"] == labels["actual"]

    # A row for each slice that an image belongs to; an image that was merged twice counts once.
    labels["annotator"] = labels["annotators"].astype(object).str.split()
    labels["labelling round"] = labels["export_sha256"].str[:12]
    labels["label made by"] = labels["by_model"].map({True: "a model", False: "a person"})
    kinds = ["annotator", "labelling round", "label made by"]
    members = labels.explode("annotator").melt(["file", *models], kinds, var_name="by")
    members = members.fillna({"value": "not recorded"}).drop_duplicates(["file", "by", "value"])

    # Measure each slice, and test whether chance explains its accuracy.
    groups = members.groupby(["by", "value"])
    table = pd.DataFrame({"images": groups.size()})
    for name in models:
        hits = groups[name].sum().astype(int)
        table[name] = hits / table["images"]
        table[f"{name}_low"], table[f"{name}_high"] = wilson(hits, table["images"])
    right = (scored["new_predicted"] == scored["actual"]).sum()
    chance = hypergeom.cdf(groups["new"].sum().astype(int), len(scored), right, table["images"])
    table["p"] = (chance * table.groupby("by")["images"].transform("size")).clip(upper=1.0)
    table["suspect"] = table["p"] < 0.05
    return table.sort_values(["by", "new"], kind="stable")


def flips(scores: pd.DataFrame) -> pd.DataFrame:
    """Pick the scored images that exactly one model gets right, the new model's most confident predictions first.

    Those that were right before hurt users even if accuracy rises (Yan et al. 2021, arXiv 2011.09161).
    """
    flipped = scores[scores["flip"] != ""]
    return flipped.sort_values("new_confidence", ascending=False, kind="stable").reset_index(drop=True)


def _count_flips(scores: pd.DataFrame) -> tuple[int, int]:
    return int((scores["flip"] == "fixed").sum()), int((scores["flip"] == "broken").sum())
