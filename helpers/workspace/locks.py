"""The locks of git and DVC, and the files that a kill has left half written."""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from helpers.pipeline.paths import RAW
from helpers.problems import Problem
from helpers.workspace.folder import LINEAGE, Workspace


def stop_on_locks(workspace: Workspace) -> None:
    """Raise a `Problem` that names each lock and each half written file, its age and the command that removes it.

    None is deleted: only a person can know that no program is at work on it.
    """
    if _find_locks(workspace):
        time.sleep(1)  # a running git releases most of its locks by then
    if locks := _find_locks(workspace):
        raise Problem(
            f"{workspace.root} is locked: git or DVC is at work there, or was killed.",
            [f"{lock}, since {datetime.fromtimestamp(since):%Y-%m-%d %H:%M:%S}" for lock, since in locks.items()],
            f"Wait for it to end. If none is at work: rm {shlex.join(map(str, locks))}",
        )


def _find_locks(workspace: Workspace) -> dict[Path, float]:
    """Find the locks of git, and files of DVC that a kill has left half written, with their times."""
    folders = workspace.git("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir").splitlines()
    locks: set[Path] = set()
    for folder in map(Path, folders):
        locks.update(folder.glob("*.lock"), folder.glob("refs/**/*.lock"))
    locks.update(_find_half_written(workspace.root))
    held = {}
    for lock in sorted(locks):
        with suppress(FileNotFoundError):  # its program has just released it
            held[lock] = lock.stat().st_mtime
    return held


def _find_half_written(root: Path) -> Iterator[Path]:
    """Find the files that DVC was writing when it was killed, and that it makes again where they are missing.

    They are its list of locks, its record of the stages, and its pointers to the data of a round. Files with the marks
    of a merge are left for git and a person.
    """
    from dvc.exceptions import DvcException  # takes half a second, and only a round needs it
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA, COMPILED_SINGLE_STAGE_SCHEMA
    from dvc.utils.strictyaml import load

    def check_pointer(file: Path) -> None:
        pointer, _ = load(str(file), COMPILED_SINGLE_STAGE_SCHEMA)
        pointer["outs"][0]["path"]  # which DVC writes last

    checks: dict[str, Callable[[Path], object]] = {
        ".dvc/tmp/rwlock": lambda file: json.loads(file.read_bytes()),
        "dvc.lock": lambda file: load(str(file), COMPILED_LOCKFILE_SCHEMA),
        f"{RAW}.dvc": check_pointer,
        f"{LINEAGE}.dvc": check_pointer,
    }
    for name, check in checks.items():
        file = root / name
        with suppress(FileNotFoundError):
            try:
                check(file)
            except (ValueError, LookupError, TypeError, DvcException):
                if b"<<<<<<<" not in file.read_bytes():
                    yield file
