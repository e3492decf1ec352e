"""The page that a round ends with, as a browser shows it: one file, opened from an attachment."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import SCREENSHOTS
from PIL import Image
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def report(pristine, tmp_path_factory) -> Path:
    """The page of a round of the sample, alone in a folder."""
    folder = tmp_path_factory.mktemp("round")
    shutil.copytree(pristine.parent, folder / "sample", symlinks=True)
    subprocess.run([sys.executable, "-m", "helpers.round.headless"], cwd=folder / "sample/demo", check=True)
    return Path(shutil.copy2(folder / "sample/demo/report.html", tmp_path_factory.mktemp("attachment")))


@pytest.fixture
def open_page(browser, report) -> Iterator[Open]:
    """Open the page, by default on a notebook's screen; anything that it asks for or complains of fails the test."""
    asked: list[str] = []
    wrong: list[str] = []

    def open_page(width: int = 1280, height: int = 800, scheme: str = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(report.as_uri())
        page.screenshot(path=SCREENSHOTS / f"page-{width}-{scheme}.png", full_page=True)
        return page

    yield open_page
    assert not wrong
    assert {url for url in asked if not url.startswith("data:")} == {report.as_uri()}


def test_the_verdict_is_above_the_fold(open_page):
    box = open_page().locator("h1 + div", has_text="Better").bounding_box()
    assert box
    assert box["y"] + box["height"] < 800


@pytest.mark.parametrize("width", [390, 1920])
def test_nothing_is_cut_off_on_a_phone_or_a_large_screen(open_page, width):
    assert open_page(width).evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(open_page, scheme):
    results = Axe().run(open_page(scheme=scheme))
    assert results.violations_count == 0, results.generate_report()


def test_it_is_dark_where_the_reader_likes_that(open_page):
    bright = {}
    for scheme in ("light", "dark"):
        open_page(scheme=scheme)
        with Image.open(SCREENSHOTS / f"page-1280-{scheme}.png") as picture:
            greys = picture.convert("L").histogram()
        bright[scheme] = sum(greys[230:]) / sum(greys)
    assert bright["light"] > 0.6
    assert bright["dark"] < 0.1  # no white slab: the white pixels of the digits alone


def test_the_contents_lead_to_the_sections_and_the_code_unfolds(open_page):
    page = open_page()
    links = page.get_by_role("navigation").get_by_role("link")
    assert links.count() > 3
    for link in links.all():
        section = page.locator(f'[id="{(link.get_attribute("href") or "")[1:]}"]')
        assert link.text_content() in (section.text_content() or "")
    code = page.get_by_text("merge_round(here")
    assert not code.is_visible()
    code.locator("xpath=ancestor::details").locator("summary").click()
    assert code.is_visible()


def test_it_is_small_and_tells_what_made_it(open_page, report):
    assert report.stat().st_size < 1_500_000
    end = (open_page().get_by_role("main").text_content() or "")[-1000:]
    assert all(fact in end for fact in ("annotations.json", "torch", "processors", "seconds"))
