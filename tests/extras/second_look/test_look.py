"""The old model looks at the labels of a round before they are merged."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from round_steps import PLANETS, plan_round, plan_sample

from examples.workspace import PROJECT
from extras.second_look.doubts import SecondLook
from extras.second_look.gallery import show_doubts
from extras.second_look.look import SecondLookParams, check_second_look, find_doubts, look_again
from helpers.labels import read_export
from helpers.pipeline.paths import METRICS
from helpers.problems import Problem
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.past import load_past
from helpers.round.publishing import publish_round
from helpers.round.verdict import decide_round
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce

ROUND = PLANETS / "exports/round1.JSON.json"


@pytest.mark.slow
def test_the_old_model_doubts_wrong_labels_most_before_and_after_they_are_published(sample):
    usable = plan_sample(sample).query("action == 'add'")
    wrong = set(usable["image"].iloc[::20])
    plan, look = look_again(sample, plan_sample(sample, wrong))
    assert look.judged.head(len(wrong))["image"].isin(wrong).mean() >= 0.85

    # The merged images are no longer new, but to the model that this round replaces they are.
    finding = find_doubts(sample, plan, look, 20)
    export = sample.root / "extra-data/annotations.json"
    merge_round(sample, plan, export)
    reproduce(sample)
    decision = decide_round(sample, compare_models(sample), export, plan, {"second_look": finding})
    publish_round(sample, plan, decision, anyway="a test")
    after, again = look_again(sample, plan_sample(sample))
    assert again.judged["sha256"].tolist() == look.judged["sha256"].tolist()
    assert find_doubts(sample, after, again, 20) == finding

    # People correct what was doubted, and export again.
    assert not any("corrected" in note for note in finding.notes)
    corrected = set(look.judged["image"].head(9)) & wrong
    rows = json.loads(export.read_text())
    for row in rows:
        if row["image"] in corrected:
            row["choice"] = str((int(row["choice"]) + 7) % 10)
            row["updated_at"] = "2026-02-01T09:00:00.000000Z"
    export.write_text(json.dumps(rows))
    moved = plan_sample(sample)
    (note,) = [note for note in find_doubts(sample, moved, look_again(sample, moved)[1], 20).notes if "correct" in note]
    assert f"people have corrected {len(corrected)}: at least {len(corrected)} of" in note


@pytest.mark.slow
def test_the_most_doubted_labels_are_left_out_of_the_training_images_alone(sample):
    wrong = set(plan_sample(sample).query("action == 'add'")["image"].iloc[::4])
    kept, _ = look_again(sample, plan_sample(sample, wrong))
    left, look = look_again(sample, plan_sample(sample), 100)
    changed = kept["action"] != left["action"]
    assert 60 < changed.sum() < 100
    assert left.loc[changed, "reason"].str.contains("confirm or correct").all()
    assert look.judged["left_out"].sum() == changed.sum()
    merge_round(sample, left, sample.root / "extra-data/annotations.json")
    merged = {path.stem for path in sample.raw.rglob("*.png")}
    assert not {Path(file).stem for file in left.loc[changed, "source"]} & merged


@pytest.mark.slow
def test_mistakes_that_the_model_would_make_too_are_not_counted_away(sample):
    """Of 953 labels a tenth is the old model's second choice: it believes many of them, and nobody claims a number."""
    plan = plan_sample(sample).query("action == 'add'").drop_duplicates("sha256")
    model, _ = load_past(sample, sample.commit_of("HEAD"))
    assert model
    images = plan[["source", "sha256"]].set_axis(["file", "sha256"], axis=1)
    opinions = model.predict(sample.root, sample.root, images)
    second = opinions.columns[opinions.to_numpy().argsort(axis=1)[:, -2]]
    wrong = np.arange(len(plan)) % 10 == 0
    plan["label"] = np.where(wrong, second, plan["label"])
    plan, look = look_again(sample, plan)
    finding = find_doubts(sample, plan, look, 20)
    assert finding.notes == []
    assert [(rule.rule, rule.passed) for rule in finding.rules] == [("contradictions", True), ("not audited", None)]
    told = str(show_doubts(look))
    assert told == "The model doubts these most: 20 of 953 new labels. Look until ten in a row are right."
    assert look.judged.head(2 * wrong.sum())["sha256"].isin(plan["sha256"][wrong]).sum() > wrong.sum() / 2


@pytest.mark.slow
def test_three_wrong_labels_of_a_hundred_are_among_those_that_are_shown(sample):
    wrong = set(plan_sample(sample).query("action == 'add'")["image"].iloc[:100:34])
    plan = plan_sample(sample, wrong).query("action == 'add'").head(100)
    _, look = look_again(sample, plan)
    assert set(look.judged["image"].head(20)) >= wrong
    assert "20 of 100 new labels" in str(show_doubts(look))


def set_accuracy(workspace: Workspace, accuracy: float) -> None:
    workspace.save(METRICS, workspace.load(METRICS) | {"accuracy": accuracy})
    workspace.git("commit", "--quiet", "--all", "--message", "Another accuracy")


@pytest.mark.parametrize(
    ("accuracy", "said"), [(0.24, "The old model is 24 % right: too weak to judge labels."), (0.7, "")]
)
def test_a_weak_model_judges_no_labels_and_leaves_none_out(tiny, accuracy, said):
    set_accuracy(tiny, accuracy)
    plan = plan_round(tiny, read_export(tiny.root / "extra-data/annotations.json"))
    left, look = look_again(tiny, plan, leave_out=8)
    assert look.unfit == said
    assert look.judged.empty == bool(said)
    assert left.equals(plan) == bool(said)
    rules = {rule.rule: rule for rule in find_doubts(tiny, left, look, 20).rules}
    assert (rules["contradictions"].passed, rules["not audited"].passed) == (None, None)
    assert said in rules["contradictions"].explanation


def look_of(**columns) -> SecondLook:
    judged = {"label": ["a", "a", "b"], "opinion": ["a", "b", "b"], "by_model": False, "confidence": 0.5}
    return SecondLook(pd.DataFrame(judged | {"sha256": ["1", "2", "3"]} | columns))


def test_the_limit_of_an_audit_is_that_of_params_yaml_whose_section_the_decision_keeps(tiny):
    pair = {"annotators": [("1", "2")] * 100, "audit": "blind", "label": "a", "sha256": "1"}
    pair |= {"scene": "", "action": "add", "destination": "a/1.png"}
    plan = pd.DataFrame(pair | {"labels": [("a", "b")] * 25 + [("a", "a")] * 75})
    look = look_of()
    finding = find_doubts(tiny, plan, look, 20)
    assert {rule.rule: rule.passed for rule in finding.rules} == {"contradictions": None, "audit": False}
    assert finding.section == "second_look"
    assert any(note.startswith("25 of 100 audited labels differ") for note in finding.notes)
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("max_label_noise: 0.05", "max_label_noise: 0.2"))
    assert {rule.rule: rule.passed for rule in find_doubts(tiny, plan, look, 20).rules}["audit"] is True


def test_the_default_in_code_is_the_setting_of_the_template():
    assert SecondLookParams().model_dump() == yaml.safe_load((PROJECT / "params.yaml").read_text())["second_look"]


def test_people_who_saw_the_opinion_are_compared_with_those_who_did_not(tiny):
    nothing = plan_round(tiny, read_export(tiny.root / "extra-data/annotations.json"))[:0]
    look = look_of(blind=["true", "false", "false"])
    (note,) = find_doubts(tiny, nothing, look, 20).notes
    assert note.startswith("People agreed with the model on 50.0 % of 2 images")


def test_a_wrong_parameter_and_a_wrong_setting_are_named_before_the_round(tiny):
    with pytest.raises(Problem, match="leave_out_doubted is -1"):
        check_second_look(tiny, -1)
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("max_label_noise: 0.05", "max_label_noise: 5"))
    with pytest.raises(Problem, match=r"second_look\.max_label_noise = 5"):
        check_second_look(tiny, 0)


def mistake(labels: pd.DataFrame, share: float) -> pd.DataFrame:
    """Give a share of the labelled images, drawn by chance, another one of the labels."""
    chance, classes = np.random.default_rng(0), sorted(labels["label"].dropna().unique())
    labelled = labels.index[labels["label"].notna()]
    labels = labels.copy()
    for row in chance.permutation(labelled)[: round(share * len(labelled))]:
        labels.loc[row, "label"] = chance.choice([name for name in classes if name != labels.loc[row, "label"]])
    return labels


@pytest.mark.slow
def test_the_six_wrong_labels_of_the_planets_come_first(planets):
    truth = json.loads((PLANETS / "exports/truth.json").read_text())["round1"]
    plan, look = look_again(planets, plan_round(planets, read_export(ROUND)))
    wrong = [
        truth[Path(file).name]["true"] != label
        for file, label in zip(look.judged["source"], look.judged["label"], strict=True)
    ]
    assert sum(wrong) == 6
    assert all(wrong[:6])
    assert [rule.passed for rule in find_doubts(planets, plan, look, 20).rules] == [True, None]


@pytest.mark.slow
def test_a_round_of_the_planets_with_seventy_percent_wrong_labels_is_refused(planets):
    """The new model is as good as the old one on held-out images whose labels are wrong for both."""
    plan, look = look_again(planets, plan_round(planets, mistake(read_export(ROUND), 0.7)))
    finding = find_doubts(planets, plan, look, 20)
    merge_round(planets, plan, ROUND)
    reproduce(planets)
    decision = decide_round(planets, compare_models(planets), ROUND, plan, {"second_look": finding})
    assert "contradictions" in [rule.rule for rule in decision.rules if rule.passed is False]
