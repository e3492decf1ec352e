"""Connections to a Label Studio, real or pretended, and pictures that are to be sent there."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from label_studio_server import LabelStudio, Pretended, pretend_label_studio, run_label_studio
from PIL import Image

from extras.label_studio.client import NEWEST, Server, connect
from extras.label_studio.settings import Settings

NUMBERS = count()


@pytest.fixture(scope="session", params=[NEWEST])
def label_studio(request, tmp_path_factory, plain_home) -> Iterator[LabelStudio]:
    """A real Label Studio of a version, the newest that was tried, started once."""
    with run_label_studio(tmp_path_factory.mktemp("label-studio") / "data", request.param) as server:
        yield server


@pytest.fixture
def pretended() -> Iterator[Pretended]:
    """A server that answers as a test wants."""
    with pretend_label_studio() as server:
        yield server


@pytest.fixture
def server(label_studio) -> Server:
    return connect(Settings(_env_file=None, label_studio_url=label_studio.url, label_studio_api_key=label_studio.key))


@pytest.fixture
def stand_in(pretended) -> Server:
    return connect(Settings(_env_file=None, label_studio_url=pretended.url, label_studio_api_key="key"))


@pytest.fixture
def title() -> str:
    """Of a project that no other test has."""
    return f"Pictures {next(NUMBERS)}"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Seven pictures."""
    chance = np.random.default_rng(0)
    for number in range(7):
        pixels = chance.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"picture {number}.png")
    return tmp_path
