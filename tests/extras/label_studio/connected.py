"""A connection to a real Label Studio, and pictures that are to be sent there."""

from itertools import count

import numpy as np
import pytest
from PIL import Image

from extras.label_studio.client import connect
from extras.label_studio.settings import Settings

NUMBERS = count()


@pytest.fixture
def server(label_studio):
    return connect(Settings(_env_file=None, label_studio_url=label_studio.url, label_studio_api_key=label_studio.key))


@pytest.fixture
def title():
    """Of a project that no other test has."""
    return f"Pictures {next(NUMBERS)}"


@pytest.fixture
def folder(tmp_path):
    """Seven pictures."""
    chance = np.random.default_rng(0)
    for number in range(7):
        pixels = chance.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"picture {number}.png")
    return tmp_path
