"""Decide what becomes of each labelled image: tables in, table out, nothing on disk."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from helpers.merge.files import class_of, fold, free_name, shorten

CHANGES = ["add", "move"]  # the actions that touch the training set


class Placement(NamedTuple):
    """What becomes of an image, see `helpers.merge.plan.plan_merge`."""

    action: str
    destination: str = ""
    previous: str = ""
    reason: str = ""


def place_images(
    plan: pd.DataFrame, names: Sequence[str], held: Mapping[str, list[str]], lineage: pd.DataFrame
) -> pd.DataFrame:
    """Decide row by row. Of several rows with the same content, the one that was updated last stands for all.

    Parameters
    ----------
    plan : DataFrame
        The rows of `helpers.labels.read_export` and, all of them str: ``source``, ``sha256``, and the ``problem``
        for which an image with a label cannot be merged.
    names : sequence of str
        All images of the training set, relative to it.
    held : mapping of str to list of str
        By their SHA-256, those of them that may equal an image of `plan`.
    lineage : DataFrame
        From `helpers.merge.lineage.read_lineage`.

    Returns
    -------
    DataFrame
        For each row of `plan` the fields of a `Placement`.
    """
    disputes = _find_disputes(plan)
    usable = plan[plan["label"].notna() & plan["problem"].eq("") & ~plan["sha256"].isin(disputes.index)]
    latest = usable.sort_values("updated_at", ascending=False, kind="stable").drop_duplicates("sha256")
    known = lineage.drop_duplicates("sha256").set_index("sha256")[["file", "label", "updated_at"]]
    columns = ["image", "label", "reason", "source", "sha256", "updated_at", "problem"]
    table = plan[columns].join(known.add_prefix("known_"), on="sha256")
    table["corrected"] = table["known_label"].notna() & table["known_label"].ne(table["label"])
    table["outdated"] = table["corrected"] & ~table["updated_at"].ge(table["known_updated_at"])
    rows: list[Any] = list(table.drop(columns=["updated_at", "known_updated_at"]).astype(object).itertuples())
    spokesmen = {rows[position].sha256: rows[position] for position in latest.index.sort_values()}

    @functools.cache
    def taken() -> dict[str, str]:
        # Also names that only the lineage has: an interrupted merge moved their images on, or not yet in.
        return dict(zip(map(fold, known["file"]), known.index, strict=True)) | dict.fromkeys(map(fold, names), "")

    placed = {}
    for sha256, row in spokesmen.items():
        placed[sha256] = placement = _place(row, held.get(sha256, []), taken)
        if placement.action in CHANGES:
            taken().setdefault(fold(placement.destination), sha256)

    def leave_out(row: Any, reason: str) -> Placement:
        stays = [f"{name} stays in the training set" for name in held.get(row.sha256, [])]
        return Placement("leave out", reason="; ".join([reason, *stays]))

    def decide(row: Any) -> Placement:
        if not isinstance(row.label, str):
            return leave_out(row, row.reason)
        if row.problem:
            return leave_out(row, row.problem)
        if row.sha256 in disputes:
            return leave_out(row, f"one picture, several labels: {disputes[row.sha256]}")
        spokesman, placement = spokesmen[row.sha256], placed[row.sha256]
        if placement.action in CHANGES and row.Index != spokesman.Index:
            return Placement("keep", placement.destination, reason=f"the same picture as {shorten(spokesman.image)}")
        return placement

    return pd.DataFrame(map(decide, rows), columns=list(Placement._fields), index=plan.index, dtype=object)


def _find_disputes(plan: pd.DataFrame) -> pd.Series:
    """What the answers are of each picture that has several, by its SHA-256."""
    answered = plan[plan["sha256"].ne("") & ~plan["status"].isin(["unlabelled", "skipped"])]
    answers = answered[["sha256", "label"]].drop_duplicates()["sha256"]
    sides = answered[answered["sha256"].isin(answers[answers.duplicated()])]
    texts = sides["label"].fillna(sides["status"]) + " (" + sides["image"].map(shorten) + ")"
    return texts.groupby(sides["sha256"]).agg(", ".join)


def _place(row: Any, copies: Sequence[str], taken: Callable[[], Mapping[str, str]]) -> Placement:
    """Decide on an image with a label, by its `copies` in the training set and by what the lineage knows of it."""
    if not copies:
        if row.outdated:
            return Placement("leave out", reason=f"the lineage holds a newer label, {row.known_label}")
        file = row.known_file if row.known_label == row.label else row.source
        return Placement("add", free_name(row.label, file, row.sha256, taken()))
    if {class_of(copy) for copy in copies} == {row.label}:
        if row.corrected and not row.outdated:  # it has moved already, only the lineage is behind
            return Placement("move", copies[0], row.known_file, f"corrected from {row.known_label}")
        return Placement("keep", copies[0], reason="already there")
    if row.outdated:
        return Placement("keep", copies[0], reason=f"the lineage holds a newer label, {row.known_label}")
    conflict = f"labelled {row.label}, but already there as {' and '.join(copies)}"
    if not isinstance(row.known_label, str):
        return Placement("leave out", reason=f"{conflict}, which did not come from labelling")
    if row.known_label == row.label:
        return Placement("leave out", reason=f"{conflict}, where somebody moved or copied it")
    if len(copies) > 1:
        return Placement("leave out", reason=conflict)
    destination = free_name(row.label, copies[0], row.sha256, taken())
    return Placement("move", destination, copies[0], f"corrected from {class_of(copies[0])}")
