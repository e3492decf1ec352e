"""Make a workspace from any images: a clone of this project with its remotes and a trained baseline."""

import shutil
from collections.abc import Callable
from pathlib import Path

from helpers.pipeline.paths import BACKBONES, RAW
from helpers.problems import Problem
from helpers.workspace import EXTRA, Workspace
from helpers.workspace.stages import reproduce

PROJECT = Path(__file__).resolve().parents[1]


def make_workspace(folder: Path, write_images: Callable[[Path], None], message: str) -> bool:
    """Make a workspace on disk with its images, remotes and a committed baseline; one that is there is left alone.

    Parameters
    ----------
    folder : Path
        The workspace to make. Its remotes lie beside it.
    write_images : callable
        Takes the workspace's path and fills its data/raw and extra-data.
    message : str
        Of the commit that holds the baseline.

    Returns
    -------
    bool
        Whether it was made.

    Raises
    ------
    Problem
        `folder` is something else.
    """
    if (folder / "dvc.yaml").exists():
        return False
    if folder.exists():
        raise Problem(f"{folder} is there already and is no workspace.", advice="Name another folder.")
    # Under another name until it is whole: one that was interrupted is made again.
    building = folder.with_name(f"{folder.name}.part")
    git_remote, storage = folder.with_name(f"{folder.name}.git"), folder.with_name(f"{folder.name}-storage")
    for leftover in (building, git_remote, storage):
        shutil.rmtree(leftover, ignore_errors=True)

    clone_project(building)
    write_images(building)
    for pointer in building.rglob("*.dvc"):  # to data of the project that the sample has not
        if pointer.is_file() and not pointer.with_suffix("").exists():
            pointer.unlink()
    workspace = Workspace(building)
    workspace.git("init", "--quiet", "--bare", "--initial-branch=main", str(git_remote))
    workspace.git("remote", "add", "origin", f"../{git_remote.name}")
    name_author(workspace)
    workspace.dvc("remote", "add", "--force", "--default", "storage", f"../{storage.name}", quiet=True)
    workspace.dvc("add", RAW, EXTRA, quiet=True)
    reproduce(workspace)
    workspace.git("add", "--all")
    workspace.git("commit", "--quiet", "--message", message)
    workspace.dvc("push", quiet=True)
    workspace.git("push", "--quiet", "--set-upstream", "origin", "HEAD:main")
    building.rename(folder)
    return True


def clone_project(target: Path) -> None:
    """Clone the project, with changes that are not committed and its backbones.

    An archive starts a history, as does a shallow clone: git takes no push from a copy of one.
    """
    project, target = Workspace(PROJECT), target.resolve()
    if (PROJECT / ".git").exists() and "true" not in project.git("rev-parse", "--is-shallow-repository"):
        project.git("clone", "--quiet", "--origin", "origin", str(PROJECT), str(target))
        Workspace(target).git("checkout", "--quiet", "-B", "main")
        Workspace(target).git("remote", "remove", "origin")
    else:
        project.git("init", "--quiet", "--initial-branch=main", str(target))
    files = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = project.git(*files, GIT_DIR=str(target / ".git"), GIT_WORK_TREE=str(PROJECT))
    backbones = [f"{BACKBONES}/{file.name}" for file in (PROJECT / BACKBONES).glob("*.onnx")]
    for file in [*listed.split("\0"), *backbones]:
        if (PROJECT / file).is_file():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / file, target / file)


def name_author(workspace: Workspace) -> None:
    """Give git a name and an address for the commits in this workspace, if the user has none."""
    for key, value in (("user.name", "Sample"), ("user.email", "sample@example.com")):
        try:
            workspace.git("config", key)
        except Problem:
            workspace.git("config", key, value)
