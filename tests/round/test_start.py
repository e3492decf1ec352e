"""A round fails at its start or not at all."""

import pytest
from round_steps import PARAMETERS, merge_something

from helpers.problems import EndOfRun, Problem
from helpers.round.start import start_round


def test_everything_that_will_fail_later_is_said_at_the_start(tiny):
    (tiny.root / "params.yaml").write_text("prepare: {seed: x}\ntrain: {epochs: 0}\ndecide: {margin: 2}\n")
    tiny.git("checkout", "--quiet", "--detach")
    before = tiny.git("status", "--porcelain")

    def refuse() -> None:
        raise Problem("an extra refuses it")

    wrong = {
        "baseline": "nowhere",
        "on_problem": "stp",
        "on_disagreement": "ask",
        "removed": "blurred",
        "publish": True,
        "checks": [refuse],
    }
    with pytest.raises(Problem) as problem:
        start_round(tiny, **PARAMETERS | wrong)
    settings = ("prepare.seed", "train.epochs", "decide.margin")
    for named in ("`nowhere`", "'stp'", "'ask'", "'blurred'", "no branch", "an extra", *settings):
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


def test_publishing_and_declining_at_once_is_refused(tiny):
    with pytest.raises(Problem, match="not both"):
        start_round(tiny, **PARAMETERS | {"publish": True, "decline": True})


def test_declining_needs_no_other_parameter_to_be_right(tiny):
    merge_something(tiny)
    with pytest.raises(EndOfRun) as end:
        start_round(tiny, **PARAMETERS | {"decline": True, "baseline": "nowhere"})
    assert "Declined" in end.value.sentence
    assert tiny.git("status", "--porcelain") == ""
