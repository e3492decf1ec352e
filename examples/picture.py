"""Take the README's picture from the page of a round, with Chromium: the card of the verdict, and the first flips.

python -m examples.picture demo/report.html
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from helpers.problems import Problem, exit_on_problem

PICTURE = Path(__file__).parents[1] / "docs/verdict.png"
WIDTH, HEIGHT = 900, 1010  # CSS pixels
KEEP_BOTH = """document.querySelector("main").replaceChildren(
    document.querySelector("h1 + *"), document.querySelector("#Changed-predictions ~ .wide"))"""


def take_picture(page_file: Path) -> None:
    """Take it at twice the size, which sharp screens show."""
    browser_file = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser_file:
        raise Problem("The picture of the README cannot be taken: there is neither Chromium nor Chrome.")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=browser_file) as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
        page.goto(page_file.resolve().as_uri())
        page.evaluate(KEEP_BOTH)
        page.screenshot(path=PICTURE)


def main() -> None:
    """Take it of the page that the command line names."""
    parser = argparse.ArgumentParser(description="Take the picture of the README.")
    parser.add_argument("page", type=Path)
    take_picture(parser.parse_args().page)


if __name__ == "__main__":
    exit_on_problem(main)
