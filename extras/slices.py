"""Labels of one annotator, labelling round or kind that the new model contradicts more than chance explains."""

import numpy as np
import pandas as pd

from helpers.comparison.counting import design_effect
from helpers.comparison.scores import Comparison
from helpers.comparison.statistics import wilson
from helpers.comparison.words import percent


def name_exports(lineage: pd.DataFrame) -> pd.Series:
    """Name the export of each row by 12 digits of the hash of its labels; by that of its bytes in older rows."""
    labels, content = lineage["labels_sha256"], lineage["export_sha256"]
    return labels.where(labels != "", content).str[:12]


def slices(scores: pd.DataFrame, lineage: pd.DataFrame) -> pd.DataFrame:
    """Measure how far the new model agrees with the labels of each annotator, labelling round and kind of label.

    Labels with which it agrees far less than with others, on scored images, are worth a look; hard images have the same
    effect. A row of `lineage` counts if its content and label are those of the image: a label that was changed by hand
    later is nobody's.

    Index `by` (``annotator``, ``labelling round``: its export, from `name_exports`, ``label made by``: a person or a
    model) and `value`, ``not recorded`` for images without lineage. Columns: `images`; `accuracy` with
    Wilson's 95 % interval `low` and `high`; `p`: the probability that the model gets so few right in a random draw of
    the scored images (one-sided hypergeometric, times the number of slices of its kind after Bonferroni); `suspect`:
    `p` is below 0.05. Where images have scenes, all counts behind `p` are those of as many independent images. Within a
    kind, the least agreement comes first.
    """
    from scipy.stats import hypergeom  # takes half a second

    scored = scores[scores["scored"]]
    known = lineage[["sha256", "label", "annotators", "by_model"]].assign(export=name_exports(lineage))
    labels = scored.merge(known, how="left", left_on=["sha256", "actual"], right_on=["sha256", "label"])

    # A row for each slice that an image belongs to; an image that was merged twice counts once.
    labels["annotator"] = labels["annotators"].astype(object).str.split()
    labels["labelling round"] = labels["export"]
    labels["label made by"] = labels["by_model"].map({True: "a model", False: "a person"})
    kinds = ["annotator", "labelling round", "label made by"]
    members = labels.explode("annotator").melt(["file", "new_right"], kinds, var_name="by")
    members = members.fillna({"value": "not recorded"}).drop_duplicates(["file", "by", "value"])

    # Measure each slice, and test whether chance explains its accuracy.
    groups = members.groupby(["by", "value"])
    images, right = groups.size(), groups["new_right"].sum()
    table = pd.DataFrame({"images": images, "accuracy": right / images})
    effect = design_effect(scored["new_right"], scored.get("scene"))
    table["low"], table["high"] = wilson(right / effect, images / effect)
    counts = [np.round(count / effect) for count in (right, len(scored), scored["new_right"].sum(), images)]
    chance = hypergeom.cdf(*counts)
    table["p"] = (chance * table.groupby("by")["images"].transform("size")).clip(upper=1.0)
    table["suspect"] = table["p"] < 0.05
    return table.sort_values(["by", "accuracy"], kind="stable")


def doubtful_slices(comparison: Comparison) -> pd.DataFrame | None:
    """Return the slices whose labels the new model contradicts more than chance explains; None without any."""
    doubtful = slices(comparison.scores, comparison.lineage).query("suspect")
    if doubtful.empty:
        return None
    table = doubtful[["images"]].set_axis(["Images"], axis=1)
    table["Accuracy"] = doubtful["accuracy"].map(percent)
    table["95 % interval"] = doubtful["low"].map(percent) + " to " + doubtful["high"].map(percent)
    table["p"] = doubtful["p"].map(lambda p: f"{p:.3f}" if p >= 0.001 else "<0.001")
    # A person knows a round by its date.
    last_label = comparison.lineage.groupby(name_exports(comparison.lineage))["updated_at"].max().dropna()
    dates = last_label.dt.strftime("until %Y-%m-%d %H:%M").to_dict()
    return table.rename_axis(["Labels by", "Name"]).rename(index=dates, level="Name")
