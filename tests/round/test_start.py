"""A round fails at its start or not at all."""

import pytest
from rounds import PARAMETERS, colleague_of, images_of, merge_something, publish

from helpers.problems import EndOfRun, Problem
from helpers.round.start import start_round


def test_everything_that_will_fail_later_is_said_at_the_start(tiny):
    (tiny.root / "params.yaml").write_text("prepare: {}\ntrain: {}\n")
    tiny.git("checkout", "--quiet", "--detach")
    before = tiny.git("status", "--porcelain")
    wrong = {
        "baseline": "nowhere",
        "on_problem": "stp",
        "on_disagreement": "ask",
        "on_suspect": "burn",
        "publish": True,
    }
    with pytest.raises(Problem) as problem:
        start_round(tiny, **PARAMETERS | wrong)
    for named in ("`nowhere`", "'stp'", "'ask'", "'burn'", "no branch", "prepare.seed", "train.epochs", "decide"):
        assert named in str(problem.value)
    assert tiny.git("status", "--porcelain") == before


@pytest.mark.slow
def test_a_baseline_whose_model_is_lost_is_said_at_the_start(tiny):
    for cached in (tiny.root / ".dvc/cache").rglob("*"):
        if cached.is_file():
            cached.unlink()
    tiny.root.with_name("demo-storage").rename(tiny.root.with_name("lost"))
    with pytest.raises(Problem, match="neither in DVC's cache nor in its remote"):
        start_round(tiny, **PARAMETERS)


def test_images_of_an_earlier_commit_are_refused_until_they_are_pulled(tiny):
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    stale = colleague.git("rev-parse", "--short=7", "HEAD").strip()
    merge_something(tiny)
    publish(tiny)
    start_round(tiny, **PARAMETERS)  # a round that is run again has its own images
    colleague.git("pull", "--quiet")
    with pytest.raises(Problem, match=f"(?s)data/raw has the images of {stale}.*dvc pull"):
        start_round(colleague, **PARAMETERS)
    colleague.dvc("pull", quiet=True)
    assert images_of(colleague) == images_of(tiny)
    start_round(colleague, **PARAMETERS)


@pytest.mark.slow
def test_images_of_another_branch_are_refused(tiny):
    tiny.git("switch", "--quiet", "--create", "work")
    merge_something(tiny)
    tiny.git("commit", "--quiet", "--all", "--message", "A round")
    tiny.git("switch", "--quiet", "main")
    with pytest.raises(Problem, match="data/raw has the images of"):
        start_round(tiny, **PARAMETERS)


def test_images_that_a_person_changed_are_welcome(tiny):
    next((tiny.raw / "dark").iterdir()).unlink()
    start_round(tiny, **PARAMETERS)
    (tiny.root / "data/raw.dvc").unlink()
    start_round(tiny, **PARAMETERS)


def test_publishing_and_declining_at_once_is_refused(tiny):
    with pytest.raises(Problem, match="not both"):
        start_round(tiny, **PARAMETERS | {"publish": True, "decline": True})


def test_declining_needs_no_other_parameter_to_be_right(tiny):
    merge_something(tiny)
    with pytest.raises(EndOfRun) as end:
        start_round(tiny, **PARAMETERS | {"decline": True, "baseline": "nowhere"})
    assert "Declined" in end.value.sentence
    assert tiny.git("status", "--porcelain") == ""
