"""A workspace with a model and pictures of the digits, and backends that serve it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from backends import commit_model, digits, train_digits
from PIL import Image
from servers import serving

from helpers.label_studio.backend import make_app
from helpers.label_studio.settings import Settings
from helpers.workspace import EXTRA

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
def backend(shared) -> Iterator[httpx.Client]:
    """A client of a backend without settings, whose workspace is not to be changed."""
    with serving(make_app(shared, Settings())) as url, httpx.Client(base_url=url, timeout=100) as client:
        yield client


@pytest.fixture
def root(shared, tmp_path) -> Path:
    """A copy of the workspace of one's own."""
    return Path(shutil.copytree(shared, tmp_path / "workspace", symlinks=True))


@pytest.fixture
def serve(root) -> Iterator[Callable[..., httpx.Client]]:
    """Serve one's own workspace, with settings; gives a client."""
    with ExitStack() as stack:

        def serve(**settings: Any) -> httpx.Client:
            url = stack.enter_context(serving(make_app(root, Settings(**settings))))
            return stack.enter_context(httpx.Client(base_url=url, timeout=100))

        yield serve
