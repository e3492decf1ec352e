"""The old model looks at the labels of a round before they are merged."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from round_steps import PLANETS, plan_round, plan_sample

from examples.workspace import PROJECT
from extras.second_look.doubts import Noise, SecondLook
from extras.second_look.look import SecondLookParams, check_second_look, find_noise, look_again
from helpers.labels import read_export
from helpers.problems import Problem
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.publishing import publish_round
from helpers.round.verdict import decide_round
from helpers.workspace.stages import reproduce


@pytest.mark.slow
def test_the_old_model_finds_wrong_labels_before_and_after_they_are_published(sample):
    usable = plan_sample(sample).query("action == 'add'")
    wrong = set(usable["image"].iloc[::20])
    plan, (judged, noise) = look_again(sample, plan_sample(sample, wrong), "keep")
    assert noise
    least = judged.head(len(wrong))
    assert least["image"].isin(wrong).mean() >= 0.85
    assert noise.low <= len(wrong) / len(judged) <= noise.high

    # The merged images are no longer new, but to the model that this round replaces they are.
    export = sample.root / "extra-data/annotations.json"
    merge_round(sample, plan, export)
    reproduce(sample)
    decision = decide_round(sample, compare_models(sample), export, plan)
    publish_round(sample, plan, decision, anyway="a test")
    _, (again, noise_again) = look_again(sample, plan_sample(sample), "keep")
    assert noise_again == noise
    assert again["sha256"].tolist() == judged["sha256"].tolist()


@pytest.mark.slow
def test_suspects_are_left_out_of_the_training_images_alone(sample):
    plan = plan_sample(sample)
    wrong = set(plan.query("action == 'add'")["image"].iloc[::4])
    kept, (_, noise) = look_again(sample, plan_sample(sample, wrong), "keep")
    left, (_, less) = look_again(sample, plan_sample(sample), "leave out")
    assert less
    assert noise
    assert less.share < noise.share / 2
    changed = kept["action"] != left["action"]
    assert changed.sum() > len(wrong) / 2
    assert left.loc[changed, "reason"].str.contains("confirm or correct").all()
    merge_round(sample, left, sample.root / "extra-data/annotations.json")
    merged = {path.stem for path in sample.raw.rglob("*.png")}
    assert not {Path(file).stem for file in left.loc[changed, "source"]} & merged


def look_of(noise: Noise | None, **columns) -> SecondLook:
    judged = pd.DataFrame({"label": ["a", "a", "b"], "opinion": ["a", "b", "b"], "by_model": [False] * 3})
    return SecondLook(judged.assign(**columns), noise)


@pytest.mark.parametrize(
    ("noise", "passed"), [(Noise(0.04, 0.02, 0.07), True), (Noise(0.08, 0, 0.2), True), (Noise(0.08, 0.03, 0.1), False)]
)
def test_a_round_with_too_many_wrong_labels_is_refused(tiny, noise, passed):
    (rule,) = find_noise(tiny, look_of(noise)).rules
    assert (rule.rule, rule.passed) == ("labels", passed)


def test_the_limit_is_that_of_params_yaml_whose_section_the_decision_keeps(tiny):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("max_label_noise: 0.05", "max_label_noise: 0.09"))
    finding = find_noise(tiny, look_of(Noise(0.08, 0.03, 0.1)))
    assert (finding.rules[0].passed, finding.section) == (True, "second_look")


def test_the_default_in_code_is_the_setting_of_the_template():
    assert SecondLookParams().model_dump() == yaml.safe_load((PROJECT / "params.yaml").read_text())["second_look"]


def test_without_an_opinion_there_is_no_rule(tiny):
    finding = find_noise(tiny, look_of(None))
    assert (finding.rules, finding.notes, finding.record) == ([], [], None)


def test_people_who_saw_the_opinion_are_compared_with_those_who_did_not(tiny):
    (note,) = find_noise(tiny, look_of(None, blind=["true", "false", "false"])).notes
    assert note.startswith("People agreed with the model on 50.0 % of 2 images")


def test_a_wrong_parameter_and_a_wrong_setting_are_named_before_the_round(tiny):
    with pytest.raises(Problem, match="on_suspect is 'drop'"):
        check_second_look(tiny, "drop")
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("max_label_noise: 0.05", "max_label_noise: 5"))
    with pytest.raises(Problem, match=r"second_look\.max_label_noise = 5"):
        check_second_look(tiny, "keep")


@pytest.mark.slow
def test_a_round_of_the_planets_with_shuffled_labels_is_refused(planets):
    """The new model is as good as the old one on held-out images whose labels are wrong for both."""
    export = PLANETS / "exports/round1.JSON.json"
    labels = read_export(export)
    labelled = labels["label"].notna()
    labels.loc[labelled, "label"] = np.random.default_rng(0).permutation(labels.loc[labelled, "label"])
    plan, look = look_again(planets, plan_round(planets, labels), "keep")
    finding = find_noise(planets, look)
    merge_round(planets, plan, export)
    reproduce(planets)
    decision = decide_round(planets, compare_models(planets), export, plan, {"second_look": finding})
    assert [rule.rule for rule in decision.rules if rule.passed is False] == ["labels"]
