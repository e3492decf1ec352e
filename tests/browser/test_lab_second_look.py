"""More doubted labels by a click, in JupyterLab."""

import pytest
from jupyterlab import open_lab

pytestmark = pytest.mark.browser


def test_ten_more_doubted_labels_are_shown_with_each_click(browser, sample):
    with open_lab(browser, sample) as lab:
        lab.run_all()
        lab.button("Ten more").click()
        lab.page.get_by_text("21 to 30", exact=True).wait_for()
        lab.button("Ten more").click()
        lab.page.get_by_text("31 to 40", exact=True).wait_for()
        lab.page.get_by_text("21 to 30", exact=True).scroll_into_view_if_needed()
        lab.screenshot("lab-second-look")
        saved = lab.saved("second-look")
        assert "The model doubts these most: 20 of 953 new labels." in saved
        assert "widget" not in saved
