"""Carry out a merge plan, so that it is done as a whole or, as far as anyone can see, not at all."""

# ruff: noqa: PTH105, PTH113
# With 100,000 small files, making a Path of each name takes as long as reading them.

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.merge.files import class_of, list_files
from helpers.merge.hashing import HashCache, read_file, sha256_of, write_file
from helpers.merge.lineage import extend_lineage, format_lineage, read_lineage
from helpers.merge.rules import CHANGES
from helpers.problems import Problem
from helpers.progress import progress_bar


def apply_merge(
    plan: pd.DataFrame, raw: Path, lineage: Path, export_sha256: str, *, hashes: Path | None = None
) -> None:
    """Carry out a plan: copy and move the images, and record where they came from.

    What can go wrong goes wrong first: every copy is made and checked in ``.merge`` beside `raw`. What follows are
    renames: images move, `lineage` is replaced, the copies come in. Killed at any instant, the same call reaches the
    same end, and so does a plan made anew: it finds moves that `lineage` does not know, and images that only `lineage`
    knows. No image is ever half written or gone.

    Parameters
    ----------
    plan : DataFrame
        What `plan_merge` returned.
    raw : Path
        The training set. A class that loses its last image loses its folder.
    lineage : Path
        The file to record the merge in, see `helpers.merge.lineage`; made if it does not exist.
    export_sha256 : str
        Of the export that the plan was made from.
    hashes : Path, optional
        As for `plan_merge`.

    Raises
    ------
    Problem
        The disk is full, or images changed since the plan was made.
    """
    raw = raw.resolve()
    steps = _open_steps(plan, raw)
    adds, moves = ([step for step in steps if step.action == action] for action in CHANGES)
    cache = HashCache(hashes)
    record = extend_lineage(read_lineage(lineage), plan, export_sha256)
    part = lineage.with_name(f".{lineage.name}.part")
    # Renames need one file system, and `raw` may be a mount of its own.
    staging = (raw.parent if raw.parent.stat().st_dev == raw.stat().st_dev else raw) / ".merge"
    try:
        _stage(adds, staging, cache)
        part.write_text(format_lineage(record), encoding="utf-8", newline="\n")
        # From here on all is renaming: it takes no room, and never writes through a link into DVC's cache.
        for folder in {class_of(step.destination) for step in moves}:
            (raw / folder).mkdir(exist_ok=True)
        for step in moves:
            os.replace(f"{raw}/{step.previous}", f"{raw}/{step.destination}")
        _remove_empty_folders(raw)
        part.replace(lineage)
        new = {entry.name for entry in staging.iterdir() if not (raw / entry.name).exists()}
        for folder in new:
            os.replace(staging / folder, raw / folder)
        for step in adds:
            if class_of(step.destination) not in new:
                os.replace(f"{staging}/{step.destination}", f"{raw}/{step.destination}")
        cache.save()
    except OSError as error:
        raise Problem(
            f"The merge did not finish: {error}.", advice="Put that right and run the same again: it reaches the end."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        part.unlink(missing_ok=True)


def _open_steps(plan: pd.DataFrame, raw: Path) -> list[Any]:
    """The rows of a plan that are still to be carried out, if they can be."""
    columns = ["action", "source", "sha256", "destination", "previous"]
    steps: list[Any] = list(plan.loc[plan["action"].isin(CHANGES), columns].itertuples())
    folders = {name.rpartition("/")[0] for step in steps for name in (step.destination, step.previous) if name}
    stale = [f"{name} is a link, or outside" for name in folders if Path(f"{raw}/{name}").resolve() != raw / name]
    present = set(list_files(raw))

    def is_open(step: Any) -> bool:
        target, origin = f"{raw}/{step.destination}", f"{raw}/{step.previous}"
        moves = step.action == "move"
        if step.destination in present:
            left = moves and os.path.isfile(origin) and sha256_of(origin) == step.sha256
            if left or sha256_of(target) != step.sha256:
                stale.append(f"{step.destination} is there already")
            return False
        if moves and not (os.path.isfile(origin) and sha256_of(origin) == step.sha256):
            stale.append(f"{step.previous} is gone or has changed")
        return True

    remaining = [step for step in steps if is_open(step)] if not stale else []
    if stale:
        raise Problem(f"{raw} changed since the plan was made; nothing was merged.", stale, "Plan again.")
    return remaining


def _stage(steps: Sequence[Any], staging: Path, cache: HashCache) -> None:
    """Copy the images to be added into a fresh folder, where they lie as they will in the training set."""
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir()
    for folder in {class_of(step.destination) for step in steps}:
        (staging / folder).mkdir()
    changed = []
    with progress_bar(len(steps), "Copying images") as bar:
        for step in steps:
            content = read_file(step.source)
            if hashlib.sha256(content).hexdigest() == step.sha256:
                cache.put(write_file(f"{staging}/{step.destination}", content), step.sha256)
            else:
                changed.append(step.source)
            bar.update()
    if changed:
        raise Problem("Images changed since the plan was made; nothing was merged.", changed, "Plan again.")


def _remove_empty_folders(raw: Path) -> None:
    for place, _, files in os.walk(raw, topdown=False):
        if not files and place != str(raw):
            with suppress(OSError):  # there are folders in it
                Path(place).rmdir()
