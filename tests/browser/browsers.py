"""A real browser: Chromium or Chrome as the system has it; playwright drives it and downloads none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"  # git ignores it, continuous integration keeps it
NAMES = ["chromium", "chromium-browser", "google-chrome"]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the browser, or skip the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"needs one of {', '.join(NAMES)}")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found) as browser:
        yield browser
