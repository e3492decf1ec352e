"""How far a round is, told as it is: in the notebook's last cell, and whenever a cell is run again."""

import pandas as pd
import pytest
from round_steps import decide, merge_something, plan_sample, publish, push_something_else

from helpers.problems import EndOfRun, Problem
from helpers.round.declining import decline_round
from helpers.round.merging import merge_round
from helpers.round.publishing import end_round, publish_round
from helpers.round.state import tell_state
from helpers.workspace import DECISION
from helpers.workspace.stages import reproduce


def test_a_round_is_open_then_committed_then_published(tiny):
    tiny.save(DECISION, {"accepted": False})
    assert "open" in tell_state(tiny)
    assert "publish_anyway" in tell_state(tiny)
    tiny.save(DECISION, {"accepted": True})
    assert "open" in tell_state(tiny)
    assert "publish_anyway" not in tell_state(tiny)

    tiny.git("add", DECISION)
    tiny.git("commit", "--quiet", "--message", "Retrain")
    assert "not pushed" in tell_state(tiny)
    tiny.git("push", "--quiet")
    assert f"published: `{tiny.git('rev-parse', '--short', 'HEAD').strip()}`" in tell_state(tiny)

    tiny.git("tag", "model/v1")
    (tiny.root / "README.md").write_text("Something else.")
    tiny.git("commit", "--quiet", "--all", "--message", "Something else")
    assert "published: `model/v1`" in tell_state(tiny)


@pytest.mark.slow
def test_the_state_of_a_round_is_told_as_it_is(tiny):
    assert "No round has begun" in tell_state(tiny)
    merge_something(tiny)
    assert "open" in tell_state(tiny)
    assert "publish_anyway" in tell_state(tiny)
    (tiny.root / "evaluation/decision.json").write_text('{"accepted": true}')
    assert "open" in tell_state(tiny)
    assert "publish_anyway" not in tell_state(tiny)
    push_something_else(tiny)
    with pytest.raises(Problem, match="rejected"):
        publish(tiny)
    assert "not pushed" in tell_state(tiny)
    tiny.git("pull", "--quiet", "--rebase")
    publish(tiny)
    assert "published: `model/v1`" in tell_state(tiny)
    (tiny.root / "params.yaml").write_text((tiny.root / "params.yaml").read_text() + "# A comment.\n")
    assert "published: `model/v1`" in tell_state(tiny)
    assert any("Nothing to commit" in line for line in publish(tiny))
    tiny.git("commit", "--quiet", "--all", "--message", "Something else")
    assert "published: `model/v1`" in tell_state(tiny)


@pytest.mark.slow
@pytest.mark.parametrize("published_before", [False, True])
def test_the_cells_that_are_run_again_after_a_decline_say_that_the_round_is_declined(tiny, published_before):
    if published_before:
        (tiny.root / "params.yaml").write_text(
            (tiny.root / "params.yaml").read_text().replace("epochs: 1", "epochs: 2")
        )
        reproduce(tiny)
        publish_round(tiny, pd.DataFrame({"action": []}), decide(tiny), anyway="a test")
    kept = tiny.load(DECISION)
    plan = plan_sample(tiny)
    merge_round(tiny, plan, tiny.root / "extra-data/annotations.json")
    reproduce(tiny)
    decision = decide(tiny)
    assert "is open" in end_round(tiny, plan, decision, publish=False)
    decline_round(tiny)
    assert "is declined" in end_round(tiny, plan, decision, publish=False)
    assert reproduce(tiny) == "unchanged"
    with pytest.raises(EndOfRun) as end:
        decide(tiny)
    assert "is declined" in end.value.sentence
    with pytest.raises(Problem, match="is declined"):
        end_round(tiny, plan, decision, publish=True, publish_anyway="a test")
    assert tiny.load(DECISION) == kept
    assert tiny.git("status", "--porcelain", "--", "evaluation", "data") == ""

    plan = plan_sample(tiny)
    merge_round(tiny, plan, tiny.root / "extra-data/annotations.json")
    assert "is open" in tell_state(tiny), "the same labels begin the round again"


def test_a_model_is_not_compared_with_itself_where_no_round_has_begun(tiny):
    with pytest.raises(EndOfRun) as end:
        decide(tiny)
    assert "No round has begun" in end.value.sentence
    assert tiny.load(DECISION) == {}
