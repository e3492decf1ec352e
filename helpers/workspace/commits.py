"""Read files as commits have them, from DVC's cache or its remote."""

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from helpers.problems import Problem
from helpers.workspace.dvc import drop_data_index


@lru_cache(maxsize=5)  # a round needs the files of the old model several times
def read_committed(root: Path, commit: str, path: str) -> bytes | None:
    """Read a file as `Workspace.read_at` does."""
    import dvc.api  # takes half a second, and only reading the past needs it
    from dvc.exceptions import OutputNotFoundError
    from dvc.repo import Repo

    def read() -> bytes:
        return dvc.api.read(path, repo=str(root), rev=commit, mode="rb")

    with suppress(Exception):  # DVC's own, and those of every kind of storage
        return read()
    # If DVC has recorded a hash of the file or of a folder above it, it is lost; else it was not there.
    with suppress(OutputNotFoundError), Repo.open(str(root), rev=commit, uninitialized=True) as repo:
        if any(out.hash_info for out in repo.find_outs_by_path(path, repo.index.outs, strict=False)):
            drop_data_index(root)
            try:
                return read()
            except Exception as error:
                raise lost(path, commit, repr(error)) from None
    return None


def lost(path: str, commit: str, *reason: str) -> Problem:
    """A `Problem`: DVC has recorded a file or a folder of a commit, but nobody has its content."""
    return Problem(
        f"{path} of {commit[:7]} is neither in DVC's cache nor in its remote.",
        reason,
        "`dvc pull` or `dvc fetch --all-commits` on a machine that has access brings it back.",
    )
