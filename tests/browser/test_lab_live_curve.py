"""The curve that a person watches in JupyterLab while a model learns."""

import pytest
from jupyterlab import open_lab

from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace

pytestmark = pytest.mark.browser


def slow_down(workspace: Workspace) -> None:
    params = workspace.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 50000"))


def test_the_curve_grows_beside_that_of_the_old_model_and_is_gone_when_the_models_are_compared(browser, sample):
    with open_lab(browser, sample) as lab:
        lab.choose("Run", "Run All Cells")
        lab.page.locator('img[alt*="the old model ended at"]').wait_for(timeout=60_000, state="attached")
        lab.wait()
        assert "<img" not in lab.saved("retrain"), "the curves are drawn once, where the models are compared"


def test_an_interrupt_ends_with_a_sentence_and_the_old_model(browser, tiny):
    slow_down(tiny)
    model = (tiny.root / MODEL).read_bytes()
    with open_lab(browser, tiny) as lab:
        lab.choose("Run", "Run All Cells")
        lab.page.locator("img[alt*=Epoch]").wait_for(timeout=60_000, state="attached")
        lab.page.locator("img[alt*=Epoch]").scroll_into_view_if_needed()
        lab.screenshot("lab-training")
        lab.choose("Kernel", "Interrupt Kernel")
        lab.wait()
        lab.shows("the old model is back")
        assert "Traceback" not in lab.page.content()
        lab.screenshot("lab-interrupted")
    assert (tiny.root / MODEL).read_bytes() == model
