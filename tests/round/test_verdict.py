"""A decision names the models that were compared, and remembers how often the held-out images have judged."""

import json

import pandas as pd
import pytest
from round_steps import LINEAGE, decide, version

from helpers.pipeline.model import load_classifier
from helpers.pipeline.paths import MODEL
from helpers.problems import Problem
from helpers.round.comparing import compare_models
from helpers.round.declining import decline_round, remember_workspace
from helpers.round.publishing import publish_round
from helpers.round.record import read_decision
from helpers.workspace import DECISION, Workspace
from helpers.workspace.stages import reproduce

PLAN = pd.DataFrame({"action": ["add"]})


def train(workspace: Workspace, epochs: int) -> None:
    params = workspace.root / "params.yaml"
    lines = params.read_text().splitlines(keepends=True)
    params.write_text("".join(f"  epochs: {epochs}\n" if line.startswith("  epochs:") else line for line in lines))
    reproduce(workspace)


def version_at(workspace: Workspace, revision: str) -> str:
    return load_classifier(workspace.read_at(revision, MODEL) or b"").version


@pytest.mark.slow
def test_a_model_that_head_refuses_cannot_be_published_against_an_older_one(sample):
    train(sample, epochs=2)
    sample.git("commit", "--quiet", "--all", "--message", "A poor model")
    poor = version_at(sample, "HEAD")
    train(sample, epochs=8)
    sample.git("commit", "--quiet", "--all", "--message", "A good model")
    good = version_at(sample, "HEAD")
    train(sample, epochs=4)
    assert not decide(sample).accepted

    decision = decide(sample, "HEAD~1")
    assert decision.verdict == "better"
    assert not decision.accepted
    (rule,) = [rule for rule in decision.rules if not rule.passed]
    assert poor in rule.explanation
    assert good in rule.explanation
    with pytest.raises(Problem, match="not accepted"):
        publish_round(sample, PLAN, decision)

    publish_round(sample, PLAN, decision, anyway="only to show it")
    message = sample.git("log", "-1", "--format=%B")
    names = [decision.model, poor, sample.git("rev-parse", "--short", "HEAD~2").strip()]
    assert all(name in message and name in decision.sentence for name in names)
    again = decide(sample)
    assert again.replaces_commit == again.baseline_commit == sample.git("rev-parse", "HEAD~1").strip()
    assert not again.accepted


@pytest.mark.slow
@pytest.mark.parametrize("baseline_is_other", [False, True])
def test_models_of_other_networks_sizes_and_colours_are_compared(tiny, baseline_is_other):
    """Each model answers with its own graph, whatever `build_network` is by now."""
    network, params = tiny.root / "helpers/pipeline/network.py", tiny.root / "params.yaml"
    usual = network.read_text(), params.read_text()
    other = "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))\n"
    network.write_text(usual[0].replace("    sizes = [", other + "    sizes = [", 1))
    params.write_text(usual[1].replace("colour: rgb", "colour: grey").replace("image_size: 32", "image_size: 24"))
    assert reproduce(tiny) == "trained"
    if baseline_is_other:
        tiny.git("commit", "--quiet", "--all", "--message", "Another network")
        network.write_text(usual[0])
        params.write_text(usual[1].replace("  seed: 42", "  seed: 43").replace("seed: 43", "seed: 42", 1))
        assert reproduce(tiny) == "trained"
    compared = compare_models(tiny)
    assert len(compared.scored) > 0
    assert {compared.old, compared.new} == {version_at(tiny, "HEAD"), version(tiny)}
    decision = decide(tiny)
    assert any("network.py" in note for note in decision.notes)


@pytest.mark.slow
def test_another_baseline_with_the_same_model_is_as_good_as_head(sample):
    sample.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
    train(sample, epochs=9)
    assert "baseline" not in [rule.rule for rule in decide(sample, "HEAD~1").rules if not rule.passed]


@pytest.mark.slow
def test_images_that_are_gone_are_counted(tiny):
    pictures = sorted((tiny.raw / "dark").iterdir())
    pictures[1].rename(tiny.raw / "light" / "moved.png")
    reproduce(tiny)
    assert not any("gone" in note for note in decide(tiny).notes)
    pictures[0].unlink()
    reproduce(tiny)
    assert "Images of the old model that are gone from data/raw: 1." in decide(tiny).notes


@pytest.mark.slow
def test_models_that_were_declined_count_among_those_that_the_held_out_images_judged(tiny):
    versions = []
    for epochs in (2, 3, 4):
        remember_workspace(tiny)
        tiny.lineage.write_text(LINEAGE)
        train(tiny, epochs)
        versions.append(decide(tiny).model)
        assert decide(tiny).judged == versions
        decline_round(tiny)
    train(tiny, epochs=5)
    decision = decide(tiny)
    assert decision.judged == [*versions, decision.model]
    assert any("4 models" in note for note in decision.notes)
    publish_round(tiny, PLAN, decision, anyway="a test")
    tiny.git("clone", "--quiet", str(tiny.root.with_name("demo.git")), str(tiny.root.with_name("colleague")))
    colleague = json.loads((tiny.root.with_name("colleague") / "evaluation/decision.json").read_text())
    assert colleague["judged"] == decision.judged


@pytest.mark.slow
def test_judging_several_models_is_said_with_the_luck_of_the_best(sample):
    train(sample, epochs=2)
    assert not any("have judged" in note for note in decide(sample).notes)
    train(sample, epochs=3)
    decision = decide(sample)
    (note,) = [note for note in decision.notes if "have judged at least 2 models" in note]
    changed = sum(decision.images[2][kind] for kind in ("fixed", "broken")) + 1
    luck = 0.59 * (changed / (decision.images[2]["scored"] + 2) / 2 / decision.images[2]["scored"]) ** 0.5
    assert f"looks {100 * luck:+.1f} points better" in note


@pytest.mark.slow
def test_a_limit_that_was_turned_after_a_refusal_is_the_first_note_and_stands_in_the_commit(tiny):
    params = tiny.root / "params.yaml"
    train(tiny, epochs=2)
    first = decide(tiny)
    assert first.policy_changes == []
    publish_round(tiny, PLAN, first, anyway="a test")
    train(tiny, epochs=3)
    assert not decide(tiny).accepted
    params.write_text(params.read_text().replace("margin: 0.02", "margin: 0.9"))
    decision = decide(tiny)
    assert decision.policy_changes == ["decide.margin: 0.02 → 0.9"]
    assert decision.notes[0] == "The policy is not that of the model to replace: decide.margin: 0.02 → 0.9."
    publish_round(tiny, PLAN, decision, anyway="a test")
    assert decision.notes[0] in tiny.git("log", "-1", "--format=%B")


@pytest.mark.slow
def test_the_policy_of_a_first_round_is_compared_with_the_settings_of_the_model_to_replace(tiny):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("max_class_drop: 0.1", "max_class_drop: 0.5"))
    train(tiny, epochs=2)
    assert decide(tiny).policy_changes == ["decide.max_class_drop: 0.1 → 0.5"]


@pytest.mark.slow
def test_new_and_lost_classes_are_told_with_or_without_held_out_images(tiny):
    (tiny.raw / "light").rename(tiny.raw / "bright")
    reproduce(tiny)
    decision = decide(tiny)
    (new,), (lost,) = decision.new_classes, decision.lost_classes
    assert (new["class"], lost["class"]) == ("bright", "light")
    assert new["images"] > 0 == lost["images"]


@pytest.mark.slow
def test_a_model_that_was_committed_by_hand_is_compared_with_the_one_before(tiny):
    train(tiny, epochs=2)
    refused = decide(tiny)
    tiny.git("commit", "--quiet", "--all", "--message", "By hand, without the decision")
    again = decide(tiny)
    assert again.model == refused.model
    assert again.baseline_commit == refused.baseline_commit
    assert again.accepted == refused.accepted


@pytest.mark.slow
def test_a_model_that_replaces_itself_is_not_accepted(tiny):
    tiny.lineage.write_text(LINEAGE)  # the round only confirms labels
    tiny.dvc("add", "data/labels.csv", quiet=True)
    decision = decide(tiny)
    assert "new model" in [rule.rule for rule in decision.rules if not rule.passed]


@pytest.mark.slow
def test_after_a_rebase_the_model_below_the_round_is_the_one_to_compare_with(tiny):
    train(tiny, epochs=2)
    first = decide(tiny)
    tiny.git("add", "--all")
    tiny.git("commit", "--quiet", "--message", "A round")
    mine = tiny.git("rev-parse", "HEAD").strip()
    tiny.git("reset", "--quiet", "--hard", "HEAD~1")
    tiny.dvc("checkout", quiet=True)
    train(tiny, epochs=3)
    tiny.git("commit", "--quiet", "--all", "--message", "Of a colleague")
    tiny.git("cherry-pick", "--strategy-option=theirs", mine)
    tiny.dvc("checkout", quiet=True)
    assert decide(tiny).model == first.model
    assert decide(tiny).baseline_commit == tiny.git("rev-parse", "HEAD~1").strip()


@pytest.mark.slow
def test_the_same_labels_from_another_export_are_no_new_decision(tiny):
    train(tiny, epochs=2)
    publish_round(tiny, PLAN, decide(tiny), anyway="a test")
    export = tiny.root / "extra-data/annotations.json"
    export.write_text(json.dumps(json.loads(export.read_text()), indent=1))
    decide(tiny)
    assert tiny.git("status", "--porcelain", "evaluation") == ""


@pytest.mark.slow
def test_a_published_round_that_runs_again_under_newer_code_keeps_its_decision_of_the_older_schema(tiny):
    train(tiny, epochs=2)
    decision = decide(tiny)
    older = decision.to_json()
    for name in ("schema", "headline", "settings", "findings"):
        del older[name]
    older["notes"] = ["In other words."]
    tiny.save(DECISION, older)
    publish_round(tiny, PLAN, read_decision(tiny), anyway="a test")
    assert tiny.load(DECISION) == older
    assert decide(tiny).model == decision.model
    assert tiny.load(DECISION) == older
    assert tiny.git("status", "--porcelain", "evaluation") == ""


@pytest.mark.slow
def test_a_published_round_that_newer_code_would_judge_by_other_limits_is_published_again_as_it_is(tiny):
    train(tiny, epochs=2)
    older = decide(tiny).to_json() | {"schema": 3, "policy": {"margin": 0.01, "max_negative_flips": 0.05}}
    tiny.save(DECISION, older)
    tiny.git("add", "--all")
    tiny.git("commit", "--quiet", "--message", "A round of earlier code")
    publish_round(tiny, PLAN, decide(tiny), anyway="a test")
    assert tiny.load(DECISION) == older
