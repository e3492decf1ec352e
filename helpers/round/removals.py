"""Images that are gone from the training set: taken out by a commit and for a reason, or by accident."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

import pandas as pd

from helpers.comparison.record import Decision
from helpers.files import is_image, read_training_set
from helpers.merge.lineage import parse_lineage, read_lineage
from helpers.pipeline.paths import INDEX, RAW, read_table
from helpers.problems import Problem
from helpers.round.past import load_past
from helpers.round.state import is_open
from helpers.workspace import LINEAGE, Workspace
from helpers.workspace.listing import list_folder

POINTER = f"{RAW}.dvc"
PULL = (  # by name: `dvc pull` alone stops at a new export in extra-data
    "`git checkout HEAD dvc.lock 'data/*.dvc'` and `dvc pull dvc.yaml data/*.dvc` bring the data of the last commit."
)


def require_images_of_head(workspace: Workspace) -> None:
    """Raise a `Problem` if data/raw lacks images of the last commit, or if it has the images of another commit.

    This happens after ``git pull`` without ``dvc pull``: the round would take away the images that colleagues have
    added, and bring back those that they have taken out. Names and classes may differ, and new images are welcome.
    Only a commit takes images out: ``dvc repro`` rewrites the pointer in the working tree by itself.
    """
    there, committed = list_folder(workspace, RAW), list_folder(workspace, RAW, "HEAD")
    contents = set(there.files.values())
    advice = f"{PULL} If you took images out yourself, run `dvc add {RAW}` and commit {POINTER}."
    if lacking := [name for name, md5 in committed.files.items() if is_image(name) and md5 not in contents]:
        raise Problem(f"{RAW} lacks images of the last commit: {len(lacking):,}.", lacking, advice)
    if there.hash in (committed.hash, _hash_in(workspace.load(POINTER)) if is_open(workspace) else ""):
        return
    for commit in workspace.git("log", "--format=%H", "-n", "50", "HEAD", "--branches", "--", POINTER).split():
        if there.hash == _hash_in(workspace.load(POINTER, commit)):
            raise Problem(f"{RAW} has the images of {commit[:7]}, not those of the last commit.", advice=advice)


def require_lineage_of_head(workspace: Workspace) -> None:
    """Raise a `Problem` if data/labels.csv lacks what the last commit records: the round would publish it so."""
    committed, there = parse_lineage(workspace.read_at("HEAD", LINEAGE)), read_lineage(workspace.lineage)
    known_since = there.set_index("sha256")["updated_at"].reindex(committed["sha256"]).array
    is_lost = ~committed["sha256"].isin(there["sha256"]) & ~committed["file"].isin(there["file"])
    if lacking := committed.loc[is_lost | committed["updated_at"].gt(known_since), "file"].tolist():
        raise Problem(f"{LINEAGE} lacks labels of the last commit: {len(lacking):,}.", lacking, PULL)


def _hash_in(pointer: dict[str, Any]) -> str | None:
    """The hash of the folder that a file of DVC names; None if there is none."""
    return pointer.get("outs", [{}])[0].get("md5")


def find_removals(workspace: Workspace) -> dict[str, pd.Timestamp]:
    """Return when people took labelled images out of the training set, by SHA-256: those of the last commit's lineage.

    An image was taken out by the first of the latest commits without it. One that no commit has had was not: its merge
    was killed. Nor was one that is in data/raw under another name.
    """
    lineage = parse_lineage(workspace.read_at("HEAD", LINEAGE))
    gone = lineage[~lineage["sha256"].isin(read_training_set(workspace.raw, workspace.hashes).values())]
    sought = dict(zip(gone["sha256"], gone["file"], strict=True))
    if not sought:
        return {}
    today = set(list_folder(workspace, RAW, "HEAD").files.values())
    removals: dict[str, pd.Timestamp] = {}
    newer: list[tuple[str, set[str]]] = []  # the commits from the newest on: their times, and images that are gone now
    for line in workspace.git("log", "--first-parent", "--format=%H %cI", "--", POINTER).splitlines():
        commit, time = line.split()
        with suppress(Problem):  # nobody has the list of this commit any more
            files = list_folder(workspace, RAW, commit).files
            former = {file: md5 for file, md5 in files.items() if md5 not in today}  # a name may have another image now
            for sha256 in [sha256 for sha256, file in sought.items() if file in former]:
                removals[sha256] = _first_without(former[sought.pop(sha256)], newer)
            newer.append((time, set(former.values())))
        if not sought:
            break
    return removals


def _first_without(md5: str, commits: list[tuple[str, set[str]]]) -> pd.Timestamp:
    """The time of the first of the latest commits, which come first, that lack an image."""
    *_, (time, _) = takewhile(lambda commit: md5 not in commit[1], commits)
    return pd.Timestamp(time).tz_convert("UTC")


def read_removed(removed: str) -> tuple[int, str]:
    """Read how many images were taken out, and why, from the parameter `removed`; if it is empty, none were."""
    count, _, why = map(str.strip, removed.partition(":"))
    if removed and not (count.isdecimal() and why):
        raise Problem(
            f"removed is {removed!r}.",
            advice="It says how many images were taken out of the training set, and why: '20: blurred'.",
        )
    return int(count or 0), why


def explain_removals(workspace: Workspace, decision: Decision, removed: str) -> Sequence[str]:
    """Return a sentence for the commit message about images of the replaced model that are gone, if some are.

    A `Problem` tells that `removed` does not count them: they went by accident, or somebody has to give the reason.
    """
    count, why = read_removed(removed)
    _, old_index = load_past(workspace, decision.replaces_commit)
    today = read_table((workspace.root / INDEX).read_bytes())
    gone = [] if old_index is None else old_index.loc[~old_index["sha256"].isin(today["sha256"]), "file"].tolist()
    if len(gone) != count:
        how = f"If that is right, give their number and the reason: removed = '{len(gone)}: <why>'. "
        raise Problem(
            f"Not published: {len(gone):,} images of the model before are gone, and `removed` counts {count:,}.",
            gone,
            f"{how if gone else ''}`git log -- {POINTER}` names the commits that changed the images.",
        )
    return [f"Images taken out: {count:,}, because: {why}"] if gone else []
