"""What the tests share: sample workspaces on disk, and commands run in them as a user would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from label_studio_server import LabelStudio, Pretended, pretend_label_studio, run_label_studio

from helpers.sample import make_sample
from helpers.workspace import Workspace

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session", autouse=True)
def plain_home(tmp_path_factory):
    """Every command runs for a user with an empty home folder, no git identity and no DVC settings."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", str(home))
    patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    yield home
    patch.undo()


@pytest.fixture(scope="session")
def pristine(tmp_path_factory, plain_home) -> Path:
    """A sample that is made once; tests work on copies."""
    folder = tmp_path_factory.mktemp("pristine") / "demo"
    make_sample(folder)
    return folder


@pytest.fixture
def sample(pristine, tmp_path) -> Workspace:
    """A sample workspace of one's own, with its remotes beside it."""
    shutil.copytree(pristine.parent, tmp_path / "sample", symlinks=True)
    return Workspace(tmp_path / "sample" / "demo")


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command to its end, and keep what it prints."""

    def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory, plain_home) -> Iterator[LabelStudio]:
    """A real Label Studio, started once."""
    with run_label_studio(tmp_path_factory.mktemp("label-studio") / "data") as server:
        yield server


@pytest.fixture
def pretended() -> Iterator[Pretended]:
    """A server that answers as a test wants."""
    with pretend_label_studio() as server:
        yield server
