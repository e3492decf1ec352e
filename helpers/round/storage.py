"""The data of a round in DVC's remote: where a fresh clone finds all of it, or nothing is published."""

import os

from helpers.pipeline.paths import RAW
from helpers.problems import Problem
from helpers.workspace import LINEAGE, Workspace
from helpers.workspace.stages import collect_stages


def dvc_remote(workspace: Workspace) -> str:
    """The name of DVC's default remote, empty if there is none."""
    from dvc.config import Config

    return str(Config(str(workspace.root / ".dvc"))["core"].get("remote") or "")


def require_pushable(workspace: Workspace) -> None:
    """Raise a `Problem` if DVC would not push a part of the round: ``dvc push`` passes over it in silence."""
    from dvc.repo import Repo  # takes half a second, and only publishing needs it

    wrong = []
    with Repo(str(workspace.root)) as repo:
        for stage in collect_stages(repo):
            file = os.path.relpath(stage.path, repo.root_dir)
            for out in stage.outs:
                name = os.path.relpath(out.fs_path, repo.root_dir)
                if not out.can_push:
                    wrong.append(f"{name} has `push: false` in {file}: remove that line")
                elif stage.is_repo_import and name in (RAW, LINEAGE):
                    wrong.append(f"{name} is imported, but rounds change it: `rm {file}`, then `dvc add {name}`")
    if wrong:
        raise Problem("Nothing can be published: DVC would not push all data of the round.", wrong)


def push_data(workspace: Workspace) -> None:
    """Push all data of this revision to DVC's remote, and see that all files of the round are there."""
    from dvc.repo import Repo  # takes half a second, and only publishing needs it

    workspace.dvc("push", quiet=True)
    with Repo(str(workspace.root)) as repo:
        targets = [stage.addressing for stage in collect_stages(repo)]
        files = repo.index.targets_view(targets).data["repo"]
        entries = [entry for _, entry in files.iteritems() if entry.hash_info]
        there = files.storage_map.bulk_remote_exists(entries, refresh=True)
    if lost := sorted("/".join(entry.key) for entry in entries if not there.get(entry)):
        raise Problem(
            "Not published: DVC has pushed, but its remote lacks files of the round.",
            lost,
            "`dvc push` on a machine whose cache has them brings them there.",
        )
