"""A round that a person ends with a click, in JupyterLab."""

import pytest
from jupyterlab import open_lab

from helpers.pipeline.paths import MODEL

pytestmark = pytest.mark.browser


def test_a_round_is_published_with_a_click_and_a_second_run_trains_nothing(browser, sample):
    with open_lab(browser, sample) as lab:
        lab.choose("Run", "Run All Cells")
        lab.wait()
        lab.screenshot("lab-open")
        assert "Traceback" not in lab.saved()
        assert "Better, +" in lab.saved("start"), "the verdict stands at the top"
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
