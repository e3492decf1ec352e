"""A workspace with a model and pictures of the digits, and backends that serve it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from backends import PROJECT, commit_model, digits, train_digits
from PIL import Image
from servers import serving
from trainings import PASSWORD

from extras.backend.app import make_app
from extras.backend.settings import BackendSettings
from extras.backend.trigger import Trigger
from helpers.pipeline.paths import PARAMS
from helpers.workspace import EXTRA, Workspace

PICTURES = 200


@pytest.fixture(scope="session")
def shared(once, pristine_tiny) -> Path:
    """A workspace with a model of the digits and pictures of them in ``extra-data``. Not to be changed."""

    def make(root: Path) -> None:
        shutil.copytree(pristine_tiny, root, symlinks=True)
        for picture in (root / EXTRA).glob("*.png"):
            picture.unlink()
        for number, digit in enumerate(digits(PICTURES)):
            Image.fromarray(digit).save(root / EXTRA / f"digit-{number:03}.png")
        commit_model(root, train_digits())

    return once("digits", make)


@pytest.fixture
def names(shared) -> list[str]:
    """The pictures of the workspace."""
    return sorted(file.name for file in (shared / EXTRA).glob("*.png"))


@pytest.fixture(scope="session")
def backend(shared) -> Iterator[httpx2.Client]:
    """A client of a backend without settings, whose workspace is not to be changed."""
    with serving(make_app(shared, BackendSettings())) as url, httpx2.Client(base_url=url, timeout=100) as client:
        yield client


@pytest.fixture
def root(shared, tmp_path) -> Path:
    """A copy of the workspace of one's own."""
    return Path(shutil.copytree(shared, tmp_path / "workspace", symlinks=True))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A repository in place of a workspace: the stand-ins for the notebook need none."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("BACKEND_PASSWORD", PASSWORD)
    workspace, nobody = Workspace(tmp_path), ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    workspace.git("init", "--quiet")
    (tmp_path / PARAMS).touch()
    workspace.git("add", PARAMS)
    workspace.git(*nobody, "commit", "--quiet", "--message", "Begin")
    return tmp_path


@pytest.fixture
def serve_trainings() -> Iterator[Callable[..., httpx2.Client]]:
    """Serve a backend whose trainings run a command; gives a client."""
    with ExitStack() as stack:

        def serve(root: Path, command: list[str], **settings: Any) -> httpx2.Client:
            chosen = BackendSettings(**settings)
            trigger = Trigger(root, chosen, command) if chosen.retrain_project else None
            url = stack.enter_context(serving(make_app(root, chosen, trigger)))
            return stack.enter_context(httpx2.Client(base_url=url, timeout=100))

        yield serve


@pytest.fixture
def serve(root, serve_trainings) -> Callable[..., httpx2.Client]:
    """Serve one's own workspace, with settings; gives a client."""
    return partial(serve_trainings, root, [])
