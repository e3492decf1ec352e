"""The story of the rounds is told from git."""

import json

import pandas as pd
import pytest
from rounds import REFUSED, publish

from helpers.round import story
from helpers.round.story import learn_from_parts, read_rounds
from helpers.workspace import Workspace


def record(workspace: Workspace, decision: dict, right: int, held_out: int) -> None:
    """Put a decision and the figures of its model into the workspace."""
    (workspace.root / "evaluation/decision.json").write_text(json.dumps(decision))
    metrics = {"accuracy": right / held_out, "images": held_out}
    (workspace.root / "evaluation/metrics.json").write_text(json.dumps(metrics))


def commit(workspace: Workspace, message: str, tag: str = "") -> str:
    workspace.git("commit", "--quiet", "--allow-empty", "--all", "--message", message)
    if tag:
        workspace.git("tag", "--annotate", "--message", "Better.", tag)
    return workspace.git("rev-parse", "HEAD").strip()


@pytest.fixture
def told(tiny) -> pd.DataFrame:
    """The story of two published rounds and an open one; git sorts the second tag before the first by its letters."""
    record(tiny, {"verdict": "first"}, right=2, held_out=4)
    start = commit(tiny, "Train the baseline")
    tiny.git("add", "--force", "evaluation/decision.json")
    changes = {"added": 3, "corrected": 1}
    record(tiny, {"model": "aa", "verdict": "better", "replaces_commit": start, "changes": changes}, 3, 4)
    commit(tiny, "Retrain", "model/v2")
    record(
        tiny,
        {
            "model": "bb",
            "verdict": "equivalent",
            "replaces_commit": "gone",
            "trained_on": 77,
            "changes": {"added": 5, "corrected": 2},
        },
        8,
        10,
    )
    commit(tiny, "Retrain", "model/v10")
    record(tiny, {"model": "cc", "verdict": "undecided", "changes": {"added": 0, "corrected": 2}}, 9, 10)
    return read_rounds(tiny, {"model": "cc"}).set_index("name")


def test_each_model_follows_the_one_that_it_was_made_after(told):
    assert told.index.tolist() == ["start", "model/v2", "model/v10", "this round"]
    assert told["accuracy"].tolist() == [0.5, 0.75, 0.8, 0.9]
    assert told["verdict"].tolist()[1:] == ["better", "equivalent", "undecided"]


def test_the_interval_is_wilsons(told):
    assert told.loc["model/v10", ["low", "high"]].tolist() == pytest.approx([0.4902, 0.9433], abs=1e-4)


def test_training_images_are_those_that_are_not_held_out_unless_the_decision_counts_them(told):
    assert told["training_images"].tolist() == [24 - 4, 24 - 4, 77, 24 - 10]


def test_changes_are_those_of_the_decision(told):
    changes = told[["added", "corrected"]]
    assert changes.loc["start"].isna().all()
    assert changes.iloc[1:].to_numpy().tolist() == [[3, 1], [5, 2], [0, 2]]


def test_a_published_round_is_told_once_and_as_before(tiny):
    record(tiny, {"model": "aa"}, 3, 4)
    before = read_rounds(tiny, {"model": "aa"})
    tiny.git("add", "evaluation")
    commit(tiny, "Retrain", "model/v1")
    assert read_rounds(tiny, {"model": "aa"}).equals(before)
    assert before["name"].tolist() == ["this round"]


def test_a_model_that_was_published_although_it_was_not_accepted_is_told_with_the_reason(tiny):
    publish(tiny, decision=REFUSED, anyway="the camera\nwas replaced")
    untagged = tiny.git("rev-parse", "HEAD").strip()
    record(tiny, {"model": "bb", "accepted": True, "replaces_commit": untagged}, 8, 10)
    commit(tiny, "Retrain", "model/v1")
    record(tiny, {"model": "cc", "replaces_commit": "model/v1"}, 9, 10)
    told = read_rounds(tiny, {"model": "cc"})
    assert told["name"].tolist() == ["start", untagged[:7], "model/v1", "this round"]
    assert told["accuracy"].tolist()[2:] == [0.8, 0.9]
    assert told["published_because"].tolist() == [pd.NA, "the camera was replaced", pd.NA, pd.NA]


@pytest.mark.parametrize("way", [["merge", "--quiet", "--no-ff"], ["merge", "--squash"], ["rebase", "--quiet"]])
def test_a_round_is_told_once_however_its_branch_came_to_the_main_one(tiny, way):
    tiny.git("switch", "--quiet", "--create", "round")
    record(tiny, {"model": "aa", "accepted": False}, 3, 4)
    tiny.git("add", "evaluation")
    commit(tiny, "Retrain\n\nNot accepted, published because: it is small\n\nSigned-off-by: A <a@b>")
    tiny.git("switch", "--quiet", "main")
    commit(tiny, "Something else")
    if "rebase" in way:
        tiny.git("switch", "--quiet", "round")
    tiny.git(*way, "main" if "rebase" in way else "round")
    if "--squash" in way:
        tiny.git("commit", "--quiet", "--no-edit")
    tiny.git("tag", "model/v1", tiny.git("log", "-1", "--format=%H", "--", "evaluation/decision.json").strip())
    told = read_rounds(tiny, {"model": "bb"})
    assert told[["name", "accuracy"]].to_numpy().tolist() == [["model/v1", 0.75], ["this round", 0.75]]
    assert told["published_because"][0] == "it is small"


def test_a_reason_that_no_commit_tells_is_said_to_be_missing(tiny):
    record(tiny, {"model": "aa", "accepted": False}, 3, 4)
    tiny.git("add", "evaluation")
    commit(tiny, "By hand")
    assert read_rounds(tiny, {"model": "bb"})["published_because"][0] == "not recorded"


def test_a_commit_that_brings_an_earlier_decision_back_is_no_round_of_its_own(tiny):
    for model in ("aa", "bb"):
        record(tiny, {"model": model}, 3, 4)
        tiny.git("add", "evaluation")
        commit(tiny, "Retrain")
    tiny.git("revert", "--no-edit", "HEAD")
    assert len(read_rounds(tiny, {"model": "cc"})) == 3
    tiny.git("rm", "--quiet", "evaluation/decision.json")
    commit(tiny, "Forget the decision")
    assert len(read_rounds(tiny, {"model": "cc"})) == 3


def test_the_parts_are_trained_and_the_workspaces_own_model_is_the_last(tiny, monkeypatch, capsys):
    monkeypatch.setattr(story, "drop_poor_models", lambda answers: answers)  # one epoch teaches nothing
    own = pd.read_csv(tiny.root / "evaluation/predictions.csv", dtype=str).set_index("file")
    answers = learn_from_parts(tiny.root)
    training = 24 - len(own)
    assert answers.columns.tolist() == ["actual", *(training // part for part in (8, 4, 2)), training]
    assert answers["actual"].equals(own["actual"].rename("actual"))
    assert answers[training].tolist() == own["predicted"].tolist()
    assert set(answers.stack()) <= {"dark", "light"}
    assert tiny.git("status", "--porcelain") == ""
    assert "epoch" not in capsys.readouterr().out


def test_damaged_figures_of_a_round_are_gaps(tiny):
    record(tiny, {"model": "aa"}, 3, 4)
    (tiny.root / "evaluation/metrics.json").write_text('{"accuracy": ')
    (only,) = read_rounds(tiny, {"model": "aa"}).dropna(axis=1).to_dict("records")
    assert only == {"name": "this round"}
