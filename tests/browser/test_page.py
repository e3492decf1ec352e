"""The page that a round ends with, as a browser shows it."""

import pytest

pytestmark = pytest.mark.browser


def test_x(browser):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.set_content("<p>hello")
    assert page.text_content("p") == "hello"
