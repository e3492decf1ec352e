"""The notebook in JupyterLab, as a person runs it."""

import pytest
from jupyterlab import open_lab

pytestmark = pytest.mark.browser


def test_a_missing_export_stops_the_run_with_its_message(browser, tiny):
    (tiny.root / "extra-data/annotations.json").unlink()
    with open_lab(browser, tiny) as lab:
        lab.run_all()
        lab.shows("There is no 'extra-data/annotations.json'")
        lab.screenshot("lab-missing-export")
        assert "Traceback" not in lab.page.content()
