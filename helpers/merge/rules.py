"""Decide the action for each labelled image: tables in, table out, no access to the disk."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from helpers.files import class_of
from helpers.merge.file_names import fold, free_name, name_in_message

CHANGES = ["add", "move"]  # the actions that touch the training set


class Placement(NamedTuple):
    """The action for an image, in the columns of `helpers.merge.plan.plan_merge`."""

    action: str
    destination: str = ""
    previous: str = ""
    reason: str = ""


def place_images(
    plan: pd.DataFrame, held: Mapping[str, list[str]], lineage: pd.DataFrame, taken_out: Mapping[str, pd.Timestamp]
) -> pd.DataFrame:
    """Decide the `Placement` of each row of a plan. Of several rows with the same content, the latest decides for all.

    `plan` has the rows of `helpers.labels.read_export` and, both str, ``source`` and ``sha256``; a ``reason`` keeps an
    image out. `held` has the names of all images of the training set, relative to it, by SHA-256. `lineage` is from
    `helpers.merge.lineage.read_lineage`. `taken_out` has the times when people took images out of the training set, by
    SHA-256.
    """
    # Content with several answers is left out. Of all other content, find the row that decides.
    disputes = _find_disputes(plan)
    reasons = [
        reason or disputes.get(sha256, "") for reason, sha256 in zip(plan["reason"], plan["sha256"], strict=True)
    ]
    plan = plan.assign(reason=reasons)
    usable = plan[plan["reason"] == ""]
    deciding = usable.sort_values("updated_at", ascending=False, kind="stable").drop_duplicates("sha256").sort_index()
    known = lineage.set_index("sha256")[["file", "label", "updated_at"]]
    deciding = deciding.join(known.add_prefix("known_"), on="sha256")

    # Names that only the lineage has are taken, too: an interrupted merge may have moved their images only in part.
    taken = dict(zip(map(fold, known["file"]), known.index, strict=True))
    taken |= {fold(name): sha256 for sha256, names in held.items() for name in names}
    decided: dict[str, tuple[Any, Placement]] = {}
    row: Any
    for row in deciding.itertuples():
        placement = _place(row, held.get(row.sha256, []), taken, taken_out.get(row.sha256))
        if placement.action in CHANGES:
            taken.setdefault(fold(placement.destination), row.sha256)
        decided[row.sha256] = row, placement

    # The deciding row stands for the change; other rows with its content find the image already there.
    placements = []
    for row in plan.itertuples():
        if row.reason:
            stays = [f"{name} stays in the training set" for name in held.get(row.sha256, [])]
            placements.append(Placement("leave out", reason="; ".join([row.reason, *stays])))
            continue
        first, placement = decided[row.sha256]
        if placement.action in CHANGES and row.Index != first.Index:
            same = f"the same picture as {name_in_message(first.image)}"
            placement = Placement("keep", placement.destination, reason=same)
        placements.append(placement)
    return pd.DataFrame(placements, columns=list(Placement._fields), index=plan.index, dtype=object)


def is_future(times: pd.Series) -> pd.Series:
    """Whether each time is more than a day after now: no label is of then, and none could correct it for years."""
    return times > pd.Timestamp.now("UTC") + pd.Timedelta(days=1)


def _find_disputes(plan: pd.DataFrame) -> dict[str, str]:
    """Return a sentence about each picture that has several answers, by SHA-256."""
    answered = plan[plan["sha256"].ne("") & ~plan["status"].isin(["unlabelled", "skipped"])]
    answers = answered[["sha256", "label"]].drop_duplicates()["sha256"]
    sides = answered[answered["sha256"].isin(answers[answers.duplicated()])]
    texts = sides["label"].fillna(sides["status"]) + " (" + sides["image"].map(name_in_message) + ")"
    by_content = texts.groupby(sides["sha256"])
    return {str(sha256): f"one picture, several labels: {', '.join(answers)}" for sha256, answers in by_content}


def _place(row: Any, copies: Sequence[str], taken: Mapping[str, str], out: pd.Timestamp | None) -> Placement:
    """Decide on an image with a label, from its copies in the training set and its label in the lineage."""
    corrected = isinstance(row.known_label, str) and row.known_label != row.label
    # A missing time is no later than any other.
    outdated = corrected and (pd.isna(row.updated_at) or row.updated_at < row.known_updated_at)
    newer = f"the lineage holds a newer label, {row.known_label}"
    if not copies:
        if outdated:
            return Placement("leave out", reason=newer)
        if out is not None and not row.updated_at > out:
            reason = f"taken out of the training set on {out:%Y-%m-%d}; label it again to bring it back"
            return Placement("leave out", reason=reason)
        file = row.known_file if row.known_label == row.label else row.source
        reason = "" if out is None else f"labelled again after it was taken out on {out:%Y-%m-%d}"
        return Placement("add", free_name(row.label, file, row.sha256, taken), reason=reason)
    if {class_of(copy) for copy in copies} == {row.label}:
        if corrected and not outdated:  # it has moved already, only the lineage is behind
            return Placement("move", copies[0], row.known_file, f"corrected from {row.known_label}")
        return Placement("keep", copies[0], reason="already there")
    if outdated:
        return Placement("keep", copies[0], reason=newer)
    conflict = f"labelled {row.label}, but already there as {' and '.join(copies)}"
    if not isinstance(row.known_label, str):
        return Placement("leave out", reason=f"{conflict}, which did not come from labelling")
    if row.known_label == row.label:
        return Placement("leave out", reason=f"{conflict}, where somebody moved or copied it")
    if len(copies) > 1:
        return Placement("leave out", reason=conflict)
    destination = free_name(row.label, copies[0], row.sha256, taken)
    return Placement("move", destination, copies[0], f"corrected from {class_of(copies[0])}")
