"""Compare the annotators: how much and how fast they label, and how often others agree."""

import pandas as pd

from helpers.comparison.words import percent

NOBODY = "nobody"


def describe_annotators(labels: pd.DataFrame) -> pd.DataFrame:
    """Describe each annotator in a row, from the table of `helpers.labels.read_export`.

    Index ``annotator``, sorted, with ``nobody`` last for images without annotations. Columns: the number of images by
    status; ``seconds``, the median lead time of images that nobody else labelled; ``shared``, the number of images that
    others labelled too; ``agreed``, the share of these others' answers that equal all of the annotator's own. Where
    the export marks ground truth, ``checked`` and ``right`` are the same for those of the others' answers.
    """
    seen = labels[["status", "lead_time"]].copy()
    seen["annotator"] = [sorted(set(people)) or [NOBODY] for people in labels["annotators"]]
    alone = seen[labels["annotators"].map(len) == 1].explode("annotator")
    seen = seen.explode("annotator")
    table = pd.crosstab(seen["annotator"], seen["status"]).rename_axis(columns=None)
    # The columns begin with the surest status.
    order = ["labelled", "conflict", "several labels", "unlabelled", "skipped"]
    table = table[[status for status in order if status in table]]
    table = table.loc[sorted(table.index, key=lambda name: (name == NOBODY, name))]
    table["seconds"] = alone.groupby("annotator")["lead_time"].median()

    # Pair each answer with every other person's answer for the same image; one person may have answered twice.
    chosen = labels.loc[labels["labels"].map(len) > 1, ["image", "annotators", "labels", "truths"]]
    chosen = chosen.explode(["annotators", "labels", "truths"])
    pairs = chosen.merge(chosen, on="image").query("annotators_x != annotators_y")
    pairs["alike"] = pairs["labels_x"] == pairs["labels_y"]
    true = pairs[pairs["truths_y"].astype(bool)]
    for counted, share, some in [("shared", "agreed", pairs), *([("checked", "right", true)] if len(true) else [])]:
        agreed = some.groupby(["annotators_x", "image", "annotators_y"])["alike"].all().reset_index()
        by_person = agreed.groupby("annotators_x")
        table[counted] = by_person["image"].nunique().reindex(table.index, fill_value=0)
        table[share] = by_person["alike"].mean()
    return table


def annotators_table(annotators: pd.DataFrame) -> pd.DataFrame:
    """Write the table of `describe_annotators` as text."""
    table = annotators.assign(seconds=annotators["seconds"].map("{:.1f}".format, na_action="ignore"))
    shares = table.columns.intersection(["agreed", "right"])
    table[shares] = table[shares].map(percent, na_action="ignore").astype(object)
    headings = {"seconds": "seconds an image", "shared": "shared with others", "agreed": "others agreed"}
    headings |= {"checked": "with ground truth", "right": "agreed with it"}
    return table.rename(columns=headings).rename(columns=str.capitalize).rename_axis("Annotator")
