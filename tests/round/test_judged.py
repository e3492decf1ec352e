"""The model and the data that are published are those that were judged, and git has the code behind them."""

from dataclasses import replace

import pytest
from round_steps import (
    DECISION,
    PARAMETERS,
    PLAN,
    colleague_of,
    merge_something,
    publish,
    version,
)

from helpers.comparison.policy import DecideParams
from helpers.comparison.record import Decision
from helpers.pipeline.params import read_params
from helpers.problems import Problem
from helpers.round.publishing import publish_round
from helpers.round.record import read_decision
from helpers.round.start import start_round
from helpers.workspace.stages import dvc_status, reproduce


def test_another_model_policy_or_decision_than_the_one_that_is_there_is_not_published(tiny):
    tiny.save("evaluation/decision.json", DECISION)
    before = tiny.git("rev-parse", "HEAD")
    with pytest.raises(Problem) as problem:
        publish_round(tiny, PLAN, Decision(accepted=True, model="another", policy={"margin": 0.99}))
    assert [line.rpartition(" ")[0] for line in problem.value.details] == [
        f"model another was judged, and model {version(tiny)} is",
        "params.yaml has another policy of the",
        "evaluation/decision.json holds another",
    ]
    next((tiny.raw / "light").iterdir()).unlink()
    with pytest.raises(Problem, match="data/raw"):
        publish_round(tiny, PLAN, Decision(accepted=True))
    assert tiny.git("rev-parse", "HEAD") == before


def test_code_of_the_stages_that_is_not_committed_is_named_before_anything_is_published(tiny):
    (tiny.root / "helpers/pipeline/network.py").open("a").write("# another network\n")
    with pytest.raises(Problem) as problem:
        publish(tiny)
    assert problem.value.details == ["helpers/pipeline/network.py"]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["settings", "pictures", "model", "policy", "decision"])
def test_nothing_is_published_but_the_model_and_the_data_that_were_judged(tiny, change):
    merge_something(tiny)
    policy = read_params(DecideParams, tiny.root / "params.yaml").model_dump()
    tiny.save("evaluation/decision.json", DECISION | {"model": version(tiny), "policy": policy})
    judged = read_decision(tiny)
    if change == "decision":
        tiny.save("evaluation/decision.json", replace(judged, accepted=False).to_json())
    params = tiny.root / "params.yaml"
    if change == "pictures":
        next((tiny.raw / "light").iterdir()).unlink()
    if change in ("settings", "model"):
        params.write_text(params.read_text().replace("epochs: 1", "epochs: 2"))
    if change == "model":
        reproduce(tiny)
    if change == "policy":
        params.write_text(params.read_text().replace("margin: 0.02", "margin: 0.99"))
    before = tiny.git("rev-parse", "HEAD")
    with pytest.raises(Problem, match="since the models were compared"):
        publish_round(tiny, PLAN, judged)
    assert tiny.git("rev-parse", "HEAD") == before


@pytest.mark.slow
def test_the_code_that_made_the_model_is_committed_before_the_round(tiny):
    merge_something(tiny)
    (tiny.root / "helpers/pipeline/network.py").open("a").write("# another network\n")
    (tiny.root / "helpers/pipeline/layers.py").write_text("")
    network = "      - helpers/pipeline/network.py\n"
    stages = (tiny.root / "dvc.yaml").read_text()
    (tiny.root / "dvc.yaml").write_text(stages.replace(network, network + network.replace("network", "layers")))
    tiny.dvc("commit", "--force", quiet=True)
    with pytest.raises(Problem) as problem:
        publish(tiny)
    assert "helpers/pipeline/network.py" in str(problem.value)
    assert "helpers/pipeline/layers.py" in str(problem.value)
    with pytest.raises(Problem, match=r"network\.py"):
        start_round(tiny, **PARAMETERS | {"publish": True})
    tiny.git("add", "helpers", "dvc.yaml")
    tiny.git("commit", "--quiet", "--message", "Another network")
    publish(tiny)
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    assert dvc_status(colleague) == []


@pytest.mark.slow
def test_stages_of_ones_own_that_do_not_make_the_model_stop_no_publication(tiny):
    merge_something(tiny)
    stages = tiny.root / "dvc.yaml"
    own = """  stamp:
    cmd: echo now > stamp.txt
    deps: [stamp.py]
    outs: [stamp.txt]
    always_changed: true
  look:
    cmd: echo seen
    deps: [extra-data]
    frozen: true
  prepare:
    always_changed: true
"""
    stages.write_text(stages.read_text().replace("  prepare:\n", own))
    (tiny.root / "stamp.py").write_text("# not committed\n")
    tiny.git("commit", "--quiet", "--message", "Stages of my own", "--only", "dvc.yaml")
    reproduce(tiny)
    (tiny.root / "stamp.py").write_text("# changed since it ran\n")
    (tiny.root / "extra-data/new.txt").write_text("new")
    start_round(tiny, **PARAMETERS | {"publish": True})
    publish(tiny)
    assert tiny.git("rev-parse", "HEAD") == tiny.git("rev-parse", "origin/main")
