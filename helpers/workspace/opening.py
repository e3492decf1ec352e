"""Find the project to work in, and say everything that is missing there."""

import shlex
from pathlib import Path

from helpers.pipeline.paths import RAW
from helpers.problems import Problem
from helpers.workspace.folder import Workspace


def open_workspace(start: Path) -> Workspace:
    """Find the workspace that contains the folder `start`.

    A `Problem` names everything that is missing: git, the repository, DVC, its set-up, the images.
    """
    root = next((folder for folder in (start, *start.parents) if (folder / "dvc.yaml").is_file()), None)
    if root is None:
        raise Problem(
            f"{start} is not inside a project with a dvc.yaml.", advice="Change to the project and run again."
        )
    workspace, missing = Workspace(root.resolve()), []
    try:
        if prefix := workspace.git("rev-parse", "--show-prefix").strip():  # DVC would not find files of the past
            missing.append(f"{prefix} is a part of a git repository: make it a repository of its own")
    except FileNotFoundError:
        missing.append("git is not installed")
    except Problem as problem:
        missing.append(_without_git(workspace.root, "; ".join(problem.details)))
    if not (root / ".dvc").is_dir():
        missing.append("not a DVC repository: run `dvc init`")
    if not (root / RAW).is_dir():
        missing.append(f"no {RAW}: put images into {RAW}/<label>/ and run `dvc add {RAW}`, or run `dvc pull`")
    if missing:
        raise Problem(f"{root} cannot be worked in yet.", missing)
    return workspace


def _without_git(root: Path, said: str) -> str:
    """Say in words why git does not work in a folder, by its own message."""
    if "not a git repository" in said:
        return f"not a git repository: run `git init` ({said})"
    if "dubious ownership" in said:
        trust = f"git config --global --add safe.directory {shlex.quote(str(root))}"
        return f"its files belong to another user, so that git refuses to work there: if you trust them, run `{trust}`"
    return f"git does not work there: {said}"
