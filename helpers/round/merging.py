"""Take labels into the training set: they are merged, and DVC records the result."""

from pathlib import Path

import pandas as pd

from helpers.files import class_of
from helpers.hashing import sha256_of
from helpers.merge.apply import apply_merge
from helpers.merge.lineage import extend_lineage, format_lineage, read_lineage
from helpers.merge.plan import count_classes
from helpers.merge.rules import CHANGES
from helpers.pipeline.paths import RAW
from helpers.problems import EndOfRun
from helpers.round.declining import remember_workspace
from helpers.round.past import load_past, past_models
from helpers.round.state import POINTERS, is_open, is_pending, present
from helpers.round.unattended import started_by
from helpers.scenes import read_scenes, record_scenes, write_scenes
from helpers.workspace import LINEAGE, Workspace
from helpers.workspace.stages import dvc_status


def end_without_labels(workspace: Workspace, plan: pd.DataFrame) -> None:
    """End the run if a plan has no label to merge, unless an earlier run has left something to judge or to publish.

    A run that nobody watches also ends if it has no new label: only a person looks at a published model once more.
    """
    old = ["leave out", "keep"] if started_by() else ["leave out"]
    scenes = read_scenes(workspace.scenes)
    is_old = plan["action"].isin(old).all() and record_scenes(scenes, plan) == scenes
    if is_old and not is_pending(workspace):
        counts = [f"{count:,} {status}" for status, count in plan["status"].value_counts().items()]
        images = f"of {len(plan):,} images, {', '.join(counts)}" if counts else "the export is empty"
        end = "There is nothing new to merge" if started_by() else "There are no labels to merge"
        raise EndOfRun(f"{end} ({images}): the run ends here, and nothing was changed.")


def count_round(workspace: Workspace, plan: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each class before and after the round, also if an earlier run of it has merged them.

    A plan without changes, where no round is open, belongs to the last published round.
    """
    index = _read_index_before(workspace, plan)
    return count_classes(plan, workspace.raw, None if index is None else index["label"])


def list_corrections(workspace: Workspace, plan: pd.DataFrame) -> pd.DataFrame:
    """Pick the images of a plan that the round takes to another class, also if an earlier run of it has done so.

    ``label`` is the class after the round, and ``previous`` the place before it; see `count_round`.
    """
    index = _read_index_before(workspace, plan)
    before = {} if index is None else dict(zip(index["sha256"], index["file"], strict=True))
    places = zip(plan["sha256"], plan["previous"], strict=True)
    previous = pd.Series([before.get(sha256, place) for sha256, place in places], plan.index, dtype=object)
    label = plan["destination"].map(class_of)
    moved = previous.ne("") & label.ne("") & previous.map(class_of).ne(label)
    return plan.assign(previous=previous, label=label)[moved].drop_duplicates("sha256")


def _read_index_before(workspace: Workspace, plan: pd.DataFrame) -> pd.DataFrame | None:
    """Read the index of the images before a round that earlier runs may have merged; None if none has."""
    began = []
    if is_open(workspace):
        began = past_models(workspace)[:1]
    elif not plan["action"].isin(CHANGES).any():
        began = past_models(workspace)[1:]
    return load_past(workspace, began[0])[1] if began else None


def merge_round(workspace: Workspace, plan: pd.DataFrame, export: Path) -> None:
    """Carry out a merge plan made from `export`, with the images before and after the merge in DVC's cache."""
    export_sha256, known = sha256_of(export), read_lineage(workspace.lineage)
    record = extend_lineage(known, plan, export_sha256)
    known_scenes = read_scenes(workspace.scenes)
    scenes = record_scenes(known_scenes, plan)
    # Record also a round that only confirms labels: earlier exports must not correct them any more.
    is_news = plan["action"].isin(CHANGES).any() or format_lineage(record) != format_lineage(known)
    if is_news or scenes != known_scenes:
        remember_workspace(workspace)
        if scenes != known_scenes:
            write_scenes(workspace.scenes, scenes)
        apply_merge(plan, workspace.raw, workspace.lineage, export_sha256, hashes=workspace.hashes)
    # An earlier run of an open round may have ended before this line, or the cache is lost.
    if is_news or (is_open(workspace) and not _is_recorded(workspace)):
        workspace.dvc("add", RAW, LINEAGE, quiet=True)


def _is_recorded(workspace: Workspace) -> bool:
    """Whether DVC has the training set and its lineage as they are."""
    return len(present(workspace, *POINTERS)) == len(POINTERS) and not dvc_status(workspace, *POINTERS)
