"""Read files as commits have them, from DVC's cache or its remote."""

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from helpers.problems import Problem
from helpers.workspace.dvc import drop_data_index


@lru_cache(maxsize=5)  # a round needs the files of the old model several times
def read_committed(root: Path, commit: str, path: str) -> bytes | None:
    """Read a file as `Workspace.read_at` does."""
    from dvc.exceptions import OutputNotFoundError
    from dvc.repo import Repo

    with suppress(Exception):  # DVC's own, and those of every kind of storage
        return _open_commit(root, commit).read_bytes(path)
    # If DVC has recorded a hash of the file or of a folder above it, it is lost; else it was not there.
    with suppress(OutputNotFoundError), Repo.open(str(root), rev=commit, uninitialized=True) as repo:
        if any(out.hash_info for out in repo.find_outs_by_path(path, repo.index.outs, strict=False)):
            drop_data_index(root)
            _open_commit.cache_clear()  # it knew the index, and perhaps another remote
            try:
                return _open_commit(root, commit).read_bytes(path)
            except Exception as error:
                raise lost(path, commit, repr(error)) from None
    return None


@lru_cache(maxsize=2)  # to open a commit, DVC parses all of its files
def _open_commit(root: Path, commit: str) -> Any:
    from dvc.api import DVCFileSystem  # takes a fifth of a second, and only reading the past needs it

    return DVCFileSystem(str(root), rev=commit)


def lost(path: str, commit: str, *reason: str) -> Problem:
    """A `Problem`: DVC has recorded a file or a folder of a commit, but nobody has its content."""
    return Problem(
        f"{path} of {commit[:7]} is neither in DVC's cache nor in its remote.",
        reason,
        "`dvc pull` or `dvc fetch --all-commits` on a machine that has access brings it back.",
    )
