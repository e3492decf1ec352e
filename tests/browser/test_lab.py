"""The notebook in JupyterLab, as a person runs it and ends the round with a click."""

import pytest
from jupyterlab import open_lab

from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace

pytestmark = pytest.mark.browser


def slow_down(workspace: Workspace) -> None:
    params = workspace.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 50000"))


def test_a_round_is_run_watched_and_published_with_a_click_and_a_second_run_trains_nothing(browser, sample):
    with open_lab(browser, sample) as lab:
        lab.choose("Run", "Run All Cells")
        lab.page.locator('img[alt*="the old model ended at"]').wait_for(timeout=60_000, state="attached")
        lab.wait()
        lab.screenshot("lab-open")
        assert "Traceback" not in lab.saved()
        assert "Better, +" in lab.saved("start"), "the verdict stands at the top"
        assert "<img" not in lab.saved("retrain"), "the curves are drawn once, where the models are compared"
        assert lab.button("Decline").is_enabled()
        assert lab.button("Publish anyway, because…").is_disabled()
        lab.button("Publish").click()
        lab.shows("and its tag model/v1 with it")
        lab.screenshot("lab-published")
        assert sample.git("ls-remote", "origin", "refs/tags/model/v1")
        assert "The round is published" in lab.saved("start")

        model = (sample.root / MODEL).stat().st_mtime_ns
        lab.run_all(restart=True)
        assert "nothing to train" in lab.saved("retrain")
        assert "published: `model/v1`" in lab.saved("end")
        assert (sample.root / MODEL).stat().st_mtime_ns == model


def test_a_model_that_is_not_accepted_is_published_only_for_a_reason(browser, tiny):
    with open_lab(browser, tiny) as lab:
        lab.run_all()
        assert lab.button("Publish").is_disabled()
        assert lab.button("Publish anyway, because…").is_disabled()
        lab.page.get_by_placeholder("the reason").fill("eight images are few")
        lab.button("Publish anyway, because…").click()
        lab.shows("is pushed")
        lab.screenshot("lab-published-anyway")
    assert "eight images are few" in tiny.git("log", "-1", "--format=%B", "origin/main")


def test_declining_gives_back_the_workspace_and_a_problem_is_told_below_the_buttons(browser, tiny):
    model = (tiny.root / MODEL).read_bytes()
    with open_lab(browser, tiny) as lab:
        lab.run_all()
        lab.button("Decline")
        assert "widget" not in lab.saved(), "buttons are dead without their kernel"
        tiny.git("checkout", "--quiet", "--detach")
        lab.page.get_by_placeholder("the reason").fill("eight images are few")
        lab.button("Publish anyway, because…").click()
        lab.page.get_by_text("no branch is checked out").wait_for()
        lab.screenshot("lab-problem")
        tiny.git("checkout", "--quiet", "main")
        lab.button("Decline").click()
        lab.shows("Declined")
    assert (tiny.root / MODEL).read_bytes() == model
    assert not any(line.startswith(" M data") for line in tiny.git("status", "--porcelain").splitlines())


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


def test_a_missing_export_stops_the_run_with_its_message(browser, tiny):
    (tiny.root / "extra-data/annotations.json").unlink()
    with open_lab(browser, tiny) as lab:
        lab.run_all()
        lab.shows("There is no 'extra-data/annotations.json'")
        lab.screenshot("lab-missing-export")
        assert "Traceback" not in lab.page.content()
