"""Compare an old and a new classifier on the same held-out images: tables in, tables out.

The formulas are for two models that were each trained once and predict the same images, so every test is paired. One
retrain cannot tell what the data alone did: initial weights and the order of images vary too (Bouthillier et al. 2021,
arXiv 2103.03098).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, hypergeom

from helpers.comparison.statistics import bonett_price, mcnemar, wilson
from helpers.pipeline.calibration import SMALLEST, cross_fit
from helpers.problems import Problem

METRICS = ["accuracy", "macro F1", "loss", "calibration error"]
BINS = 15  # of confidence, as Guo et al. 2017
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on the same held-out images, with the tables drawn from them, each made once."""

    scores: pd.DataFrame  # from score_images
    lineage: pd.DataFrame  # from helpers.merge.lineage.read_lineage
    new: str  # version of the new model
    old: str  # version of the old one, empty if there is none
    baseline: str  # the commit of the old one

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The rows of `scores` that count for both models."""
        return self.scores[self.scores["scored"]]

    @cached_property
    def summary(self) -> pd.DataFrame:
        return summary(self.scores)

    @cached_property
    def tally(self) -> pd.DataFrame:
        return tally(self.scores)

    @cached_property
    def per_class(self) -> pd.DataFrame:
        return per_class(self.scores)

    @cached_property
    def slices(self) -> pd.DataFrame:
        return slices(self.scores, self.lineage)

    @cached_property
    def flips(self) -> pd.DataFrame:
        return flips(self.scores)


def populations(held_out: pd.DataFrame, old_index: pd.DataFrame | None) -> pd.Series:
    """Tell what the old model's training had to do with each image that is held out today.

    Images are matched by their content, so that neither a new name nor a new label hides a leak.

    Parameters
    ----------
    held_out : DataFrame
        Column `sha256`.
    old_index : DataFrame or None
        Columns `sha256` and `split` of all images that the old model was made with. None where that is not known.

    Returns
    -------
    Series of str
        ``frozen``: held out then and now. ``new``: not in the old data. ``leaked``: in the old data and not held out,
        or nobody can tell.
    """
    if old_index is None:
        return pd.Series("leaked", index=held_out.index)
    kept_out = old_index["split"] == "held-out"
    now = held_out["sha256"]
    population = np.where(now.isin(old_index.loc[kept_out, "sha256"]), "frozen", "new")
    return pd.Series(population, index=held_out.index).mask(now.isin(old_index.loc[~kept_out, "sha256"]), "leaked")


def score_images(
    held_out: pd.DataFrame,
    new: pd.DataFrame,
    old: pd.DataFrame | None = None,
    old_index: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put what both models say of each held-out image side by side.

    Predictions are the models' own. How sure they are is judged on images that had no say in it: confidences and
    probabilities of both are cross-fitted on the scored images (`helpers.pipeline.calibration.cross_fit`).

    Parameters
    ----------
    held_out : DataFrame
        Today's held-out images: columns `file`, `label` and `sha256`, all str.
    new, old : DataFrame of float
        Probabilities: index `file`, one column per class that the model knows, rows sum to 1. `old` is None where
        there is no old model; then every image counts as new.
    old_index : DataFrame or None
        See `populations`.

    Returns
    -------
    DataFrame
        One row per held-out image, in the order of `held_out`: `file`, `sha256`, `actual`, `population`;
        `known_to` (``both``, ``old``, ``new`` or ``neither``: whose classes hold the actual label);
        `scored` (bool: not leaked, and every model knows the label); `flip` (``fixed``, ``broken`` or empty; only for
        scored images); and for each model `…_predicted`, `…_confidence` (of the predicted class) and `…_probability`
        (of the actual class, 0 if the model does not know it). Without an old model there are no columns of it.

    Raises
    ------
    Problem
        A model gives something else than finite numbers.
    """
    models = {"new": new} if old is None else {"old": old, "new": new}
    scores = held_out[["file", "sha256"]].assign(actual=held_out["label"]).reset_index(drop=True)
    scores["population"] = "new" if old is None else populations(scores, old_index)
    knows = {name: scores["actual"].isin(table.columns) for name, table in models.items()}
    known_to_old = knows.get("old", False)
    known_to = [knows["new"] & known_to_old, knows["new"], known_to_old]
    scores["known_to"] = np.select(known_to, ["both", "new", "old"], "neither")
    scores["scored"] = np.logical_and.reduce([scores["population"] != "leaked", *knows.values()])
    scores["flip"] = ""
    for name, table in models.items():
        probabilities = table.loc[scores["file"]].to_numpy(dtype=np.float64)
        if not np.isfinite(probabilities).all():
            raise Problem(
                f"The {name} model gives no probabilities: its weights are not finite numbers.",
                advice="Its training diverged. Lower train.learning_rate in params.yaml and train again.",
            )
        rows, best = np.arange(len(scores)), probabilities.argmax(axis=1)
        labels = table.columns.get_indexer(pd.Index(scores["actual"]))
        probabilities = cross_fit(probabilities, np.where(scores["scored"], labels, -1), scores["sha256"])
        scores[f"{name}_predicted"] = table.columns[best]
        scores[f"{name}_confidence"] = probabilities[rows, best]
        scores[f"{name}_probability"] = np.where(knows[name], probabilities[rows, labels], 0.0)
    if old is not None:
        was, now = (scores[f"{name}_predicted"] == scores["actual"] for name in models)
        scores.loc[scores["scored"] & now & ~was, "flip"] = "fixed"
        scores.loc[scores["scored"] & was & ~now, "flip"] = "broken"
    return scores


def tally(scores: pd.DataFrame) -> pd.DataFrame:
    """Count the images and the flips of each population.

    Parameters
    ----------
    scores : DataFrame
        From `score_images`.

    Returns
    -------
    DataFrame
        Index `population`: frozen, new, together (both of them), leaked. Columns: `images`; `scored`; `fixed` and
        `broken` (flips); `mid_p` and `exact_p` (from `mcnemar`).
    """
    unseen = scores["population"] != "leaked"
    rows = []
    for name in ("frozen", "new", "together", "leaked"):
        images = scores[unseen if name == "together" else scores["population"] == name]
        fixed, broken = _count_flips(images)
        mid_p, exact_p = mcnemar(fixed, broken)
        row = {"images": len(images), "scored": int(images["scored"].sum()), "fixed": fixed, "broken": broken}
        rows.append({"population": name, **row, "mid_p": mid_p, "exact_p": exact_p})
    return pd.DataFrame(rows).set_index("population")


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Sum up both models and their difference, for each population and for both together.

    Intervals are Bonett–Price for accuracy and, for the other metrics, the percentiles of a paired bootstrap: each
    resample draws images, and both models are measured on the same ones. A seed is fixed, so the same scores give the
    same intervals.

    Parameters
    ----------
    scores : DataFrame
        From `score_images`. Only scored images are looked at.

    Returns
    -------
    DataFrame
        Index `population` (``frozen``, ``new``, ``together``; without those that have no scored image) and `metric`:

        ``accuracy``
            Share of images that are right.
        ``macro F1``
            Mean of F1 over the classes that the images belong to.
        ``loss``
            Mean cross-entropy in nats; less is better.
        ``calibration error``
            Expected calibration error over 15 bins of equal width (Guo et al. 2017, arXiv 1706.04599); less is better.

        Columns: `images`, `new`; and where there is an old model `old`, `difference` (new minus old), `low` and `high`
        (its 95 % interval; NaN for the bootstrap of a single image).
    """
    scored = scores[scores["scored"]]
    tables = {
        name: _summary_of(images)
        for name, images in [*scored.groupby("population"), ("together", scored)]
        if not images.empty
    }
    if tables:
        return pd.concat(tables, names=["population", "metric"])
    return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=["population", "metric"]))


def _summary_of(images: pd.DataFrame) -> pd.DataFrame:
    n = len(images)
    everything = np.arange(n)
    measures = {name: _measure(images, name) for name in _models(images)}
    table = pd.DataFrame({name: measure(everything[None])[:, 0] for name, measure in measures.items()}, index=METRICS)
    table.insert(0, "images", n)
    if "old" not in measures:
        return table

    def difference(draws: np.ndarray, axis: int) -> np.ndarray:
        return measures["new"](draws) - measures["old"](draws)

    table["difference"] = table["new"] - table["old"]
    table["low"] = table["high"] = np.nan
    if n > 1:
        interval = bootstrap(
            (everything,),
            difference,
            n_resamples=RESAMPLES,
            batch=max(1, 2_000_000 // n),  # bounds the memory
            vectorized=True,
            method="percentile",
            rng=0,
        ).confidence_interval
        table["low"], table["high"] = interval.low, interval.high
    table.loc["accuracy", ["low", "high"]] = bonett_price(*_count_flips(images), n)
    return table


def _measure(images: pd.DataFrame, model: str) -> Callable[[np.ndarray], np.ndarray]:
    """Prepare the metrics of a model on any draws of images: int [draws, images drawn] → float [metrics, draws]."""
    classes = pd.Index(images["actual"].unique())
    others = len(classes)  # stands for every class that none of the images belongs to
    actual, predicted = (classes.get_indexer(pd.Index(images[side])) for side in ("actual", f"{model}_predicted"))
    predicted[predicted < 0] = others
    right = actual == predicted
    confidence = images[f"{model}_confidence"].to_numpy()
    losses = -np.log(images[f"{model}_probability"].to_numpy().clip(SMALLEST))
    bins = (np.ceil(BINS * confidence) - 1).clip(0, BINS - 1).astype(int)

    def measure(draws: np.ndarray) -> np.ndarray:
        n = draws.shape[1]
        support = _count(actual[draws], others + 1)
        called = _count(predicted[draws], others + 1)
        hits = _count(np.where(right, actual, others)[draws], others + 1)
        f1 = (2 * hits / np.maximum(support + called, 1))[:, :others]
        overconfidence = _count(bins[draws], BINS, (confidence - right)[draws])
        return np.stack(
            [
                right[draws].mean(axis=1),
                f1.sum(axis=1) / (support > 0).sum(axis=1),
                losses[draws].mean(axis=1),
                np.abs(overconfidence).sum(axis=1) / n,
            ]
        )

    return measure


def _count(codes: np.ndarray, size: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Count, or add up the weights of, each code below `size` in each row."""
    rows = len(codes)
    cells = codes + size * np.arange(rows)[:, None]
    flat = None if weights is None else weights.ravel()
    return np.bincount(cells.ravel(), flat, minlength=rows * size).reshape(rows, size)


def per_class(scores: pd.DataFrame) -> pd.DataFrame:
    """Measure both models class by class.

    A class that both models know is measured on the scored images. One that a single model knows is measured for that
    model alone, on all images that are not leaked.

    Parameters
    ----------
    scores : DataFrame
        From `score_images`.

    Returns
    -------
    DataFrame
        Index `label`, sorted. Columns: `known_to`; `support` (images of the class); for each model `…_recall`,
        `…_recall_low` and `…_recall_high` (Wilson's 95 % interval), `…_precision` and `…_f1`; and where there is an old
        model `recall_difference`, `precision_difference` and `f1_difference` (new minus old). NaN where a model does
        not know the class, and for the precision of a class that was never predicted.
    """
    unseen = scores[scores["population"] != "leaked"]
    apart = _count_classes(unseen).loc[lambda table: ~table.index.isin(unseen.loc[unseen["scored"], "actual"])]
    table = pd.concat([_count_classes(unseen[unseen["scored"]]), apart]).sort_index()
    for name in _models(scores):
        hits, called = table.pop(f"{name}_hits"), table.pop(f"{name}_called")
        known = table["known_to"].isin([name, "both"])
        low, high = wilson(hits, table["support"])
        measures = {
            "recall": hits / table["support"],
            "recall_low": low,
            "recall_high": high,
            "precision": hits / called,
            "f1": 2 * hits / (table["support"] + called),
        }
        for metric, values in measures.items():
            table[f"{name}_{metric}"] = values.where(known)
    if "old_predicted" in scores:
        for metric in ("recall", "precision", "f1"):
            table[f"{metric}_difference"] = table[f"new_{metric}"] - table[f"old_{metric}"]
    return table


def _count_classes(images: pd.DataFrame) -> pd.DataFrame:
    classes = images.groupby("actual")
    table = pd.DataFrame({"known_to": classes["known_to"].first(), "support": classes.size()}).rename_axis("label")
    for name in _models(images):
        predicted = images[f"{name}_predicted"]
        for column, labels in (("hits", predicted[predicted == images["actual"]]), ("called", predicted)):
            table[f"{name}_{column}"] = labels.value_counts().reindex(table.index, fill_value=0)
    return table


def slices(scores: pd.DataFrame, lineage: pd.DataFrame) -> pd.DataFrame:
    """Measure how far the models agree with the labels of each annotator, labelling round and kind of label.

    Neither model trained on these images, so where the new model agrees with somebody's labels far less than with the
    others', that somebody's labels are worth a look. Hard images have the same effect, so it is a hint and no proof.

    Parameters
    ----------
    scores : DataFrame
        From `score_images`. Only scored images are looked at.
    lineage : DataFrame
        From `helpers.merge.lineage.read_lineage`. It counts where both content and label are those of the image; a
        label that was changed by hand later is nobody's.

    Returns
    -------
    DataFrame
        Index `by` (``annotator``, ``labelling round``: the first 12 digits of its export's sha256, ``label made by``:
        a person or a model) and `value`, ``not recorded`` for images without lineage. Columns: `images`; for each
        model its accuracy `old` and `new` with Wilson's 95 % interval `…_low` and `…_high`; `p`: how likely the new
        model gets so few right if the slice were a random draw of all scored images (one-sided hypergeometric,
        Bonferroni-corrected for the number of slices); `suspect`: `p` is below 0.05. The least agreement comes first.
    """
    scored = scores[scores["scored"]]
    known = lineage[["sha256", "label", "annotators", "export_sha256", "by_model"]]
    labels = scored.merge(known, how="left", left_on=["sha256", "actual"], right_on=["sha256", "label"])
    kinds = {
        "annotator": labels["annotators"].astype(object).str.split().explode(),
        "labelling round": labels["export_sha256"].str[:12],
        "label made by": labels["by_model"].map({True: "a model", False: "a person"}),
    }
    members = pd.concat([labels[["file"]].join(values.rename("value")).assign(by=by) for by, values in kinds.items()])
    members = members.fillna({"value": "not recorded"}).drop_duplicates()
    models = _models(scores)
    right = pd.DataFrame({name: scored[f"{name}_predicted"] == scored["actual"] for name in models})
    groups = members.join(right.set_axis(scored["file"]), on="file").groupby(["by", "value"])

    table = pd.DataFrame({"images": groups.size()})
    for name in models:
        hits = groups[name].sum().astype(int)
        table[name] = hits / table["images"]
        table[f"{name}_low"], table[f"{name}_high"] = wilson(hits, table["images"])
    chance = hypergeom.cdf(groups["new"].sum().astype(int), len(scored), right["new"].sum(), table["images"])
    table["p"] = (chance * table.groupby("by")["images"].transform("size")).clip(upper=1.0)
    table["suspect"] = table["p"] < 0.05
    return table.sort_values(["by", "new"], kind="stable")


def flips(scores: pd.DataFrame) -> pd.DataFrame:
    """Pick the scored images that one model gets right and the other wrong.

    Negative flips, right before and wrong now, hurt users even where accuracy rises (Yan et al. 2021, arXiv
    2011.09161; Bansal et al. 2019, AAAI).

    Parameters
    ----------
    scores : DataFrame
        From `score_images`.

    Returns
    -------
    DataFrame
        Rows of `scores` whose `flip` is ``fixed`` or ``broken``, in which the new model is most confident first.
    """
    flipped = scores[scores["flip"] != ""]
    return flipped.sort_values("new_confidence", ascending=False, kind="stable").reset_index(drop=True)


def _models(scores: pd.DataFrame) -> list[str]:
    return [name for name in ("old", "new") if f"{name}_predicted" in scores]


def _count_flips(scores: pd.DataFrame) -> tuple[int, int]:
    return int((scores["flip"] == "fixed").sum()), int((scores["flip"] == "broken").sum())
