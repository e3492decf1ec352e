"""Carry out a merge plan: as a whole or, as far as anyone can see, not at all."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.files import class_of, list_files
from helpers.hashing import HashCache, sha256_of
from helpers.merge.lineage import extend_lineage, format_lineage, read_lineage
from helpers.merge.rules import CHANGES
from helpers.problems import Problem
from helpers.progress import progress_bar


def apply_merge(plan: pd.DataFrame, raw: Path, lineage: Path, export_sha256: str, *, hashes: Path) -> None:
    """Carry out a plan: copy and move the images, and record their origin in `lineage`. A class without images goes.

    Steps that can fail come first: every copy is made and checked in ``.merge`` beside `raw`. The rest is renaming:
    images move, `lineage` is replaced, the copies come in. After a kill at any instant, the same call reaches the same
    end, and so does a new plan: it finds moves that `lineage` lacks and images that only `lineage` has. No image is
    ever half written or gone. A `Problem` tells that the disk is full, or that images changed since the plan was made.

    `export_sha256` is that of the export that the plan was made from. `hashes` is the file of a
    `helpers.hashing.HashCache`, which learns the hashes of the copies.
    """
    named, raw = raw, raw.resolve()
    steps = _open_steps(plan, raw)
    adds = [step for step in steps if step.action == "add"]
    moves = [step for step in steps if step.action == "move"]
    record = extend_lineage(read_lineage(lineage), plan, export_sha256)
    part = part_of(lineage)
    # Renames need one file system, and `raw` may be a mount of its own.
    staging = (raw.parent if raw.parent.stat().st_dev == raw.stat().st_dev else raw) / ".merge"
    try:
        _stage(adds, staging)
        part.write_text(format_lineage(record), encoding="utf-8", newline="\n")
        # All further steps rename: that takes no room, and never writes through a link into DVC's cache.
        _make_folders(raw, moves)
        for step in moves:
            (raw / step.previous).replace(raw / step.destination)
        _remove_empty_folders(raw)
        part.replace(lineage)
        _make_folders(raw, adds)
        for step in adds:
            (staging / step.destination).replace(raw / step.destination)
        _remember_hashes(steps, named, hashes)
    except OSError as error:
        raise Problem(
            f"The merge did not finish: {error}.", advice="Put that right and run again: it then reaches its end."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        part.unlink(missing_ok=True)


def part_of(lineage: Path) -> Path:
    """Where the next lineage waits while images move: only a merge that was killed leaves it there."""
    return lineage.with_name(f".{lineage.name}.part")


def _open_steps(plan: pd.DataFrame, raw: Path) -> list[Any]:
    """Return the rows of a plan that remain to be carried out; raise a `Problem` if the plan is out of date."""
    steps: list[Any] = list(plan[plan["action"].isin(CHANGES)].itertuples())
    # Refuse paths that leave `raw`: absolute ones, those through a link and those with `..`.
    folders = {(raw / name).parent for step in steps for name in (step.destination, step.previous) if name}
    outside = [str(folder) for folder in folders if folder.resolve() != folder or not folder.is_relative_to(raw)]
    if outside:
        raise Problem(
            f"The plan leads outside of {raw}, or through a link; nothing was merged.", outside, "Plan again."
        )
    # Find the steps that an interrupted merge has not done, and those that no longer fit the training set.
    present = set(list_files(raw))
    remaining, stale = [], []
    for step in steps:
        origin = raw / step.previous
        waits = step.action == "move" and origin.is_file() and sha256_of(origin) == step.sha256
        if step.destination in present:
            # An interrupted merge has done this step, unless other content took the name since the plan.
            if waits or sha256_of(raw / step.destination) != step.sha256:
                stale.append(f"{step.destination} is there already")
        elif step.action == "move" and not waits:
            stale.append(f"{step.previous} is gone or has changed")
        else:
            remaining.append(step)
    if stale:
        raise Problem(f"{raw} changed since the plan was made; nothing was merged.", stale, "Plan again.")
    return remaining


def _stage(steps: Sequence[Any], staging: Path) -> None:
    """Copy the images to be added into a fresh folder, in the layout of the training set."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    _make_folders(staging, steps)
    changed = []
    for step in progress_bar(len(steps), "Copying images", items=steps):
        content = Path(step.source).read_bytes()
        if hashlib.sha256(content).hexdigest() == step.sha256:
            (staging / step.destination).write_bytes(content)
        else:
            changed.append(step.source)
    if changed:
        raise Problem("Images changed since the plan was made; nothing was merged.", changed, "Plan again.")


def _remember_hashes(steps: Sequence[Any], raw: Path, hashes: Path) -> None:
    """Note the hashes of images that came or moved; a rename changes the time of change, so this is the last step."""
    cache = HashCache(hashes)
    for step in steps:
        file = f"{raw}/{step.destination}"  # as `helpers.files.read_training_set` names it
        cache.put(file, step.sha256, Path(file).stat())
    cache.save()


def _make_folders(place: Path, steps: Sequence[Any]) -> None:
    for name in {class_of(step.destination) for step in steps}:
        (place / name).mkdir(exist_ok=True)


def _remove_empty_folders(raw: Path) -> None:
    for place, _, files in os.walk(raw, topdown=False):
        if not files and place != str(raw):
            with suppress(OSError):  # there are folders in it
                Path(place).rmdir()
