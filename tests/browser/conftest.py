"""A real browser."""

from collections.abc import Iterator

import pytest
from browsers import open_browser
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser(plain_home) -> Iterator[Browser]:
    """A real browser, started once."""
    with open_browser() as browser:
        yield browser
