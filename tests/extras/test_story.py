"""The story of the rounds is told from git, and drawn."""

import json
from typing import Any

import pandas as pd
import pytest
from drawings import texts
from matplotlib.colors import same_color
from round_steps import REFUSED, publish
from score_tables import comparison_of, outcome

from extras.story import draw_story, find_accuracy, read_rounds, rounds_table
from helpers.comparison.record import Decision
from helpers.comparison.statistics import wilson
from helpers.figures.style import NEW, QUIET
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
    return read_rounds(tiny, Decision(model="cc")).set_index("name")


def test_each_model_follows_the_one_that_it_was_made_after(told):
    assert told.index.tolist() == ["start", "model/v2", "model/v10", "this round"]
    assert told["accuracy"].tolist() == [0.5, 0.75, 0.8, 0.9]
    assert told["verdict"].tolist()[1:] == ["better", "equivalent", "undecided"]


def test_accuracy_counts_the_images_that_chance_chose_where_the_decision_has_them(tiny):
    record(tiny, {"schema": 4, "model": "aa", "findings": {"story": {"images": 8, "right": 6}}}, right=5, held_out=20)
    (row,) = read_rounds(tiny, Decision(model="aa")).to_dict("records")
    assert (row["accuracy"], row["held_out_images"], row["training_images"]) == (0.75, 20, 24 - 20)
    assert row["chosen_by_chance"] == 8


def test_the_number_of_images_that_chance_chose_has_a_column_where_not_all_held_out_images_count(tiny):
    for model, findings in {"aa": {}, "bb": {"story": {"images": 10, "right": 6}}}.items():
        record(tiny, {"schema": 4, "model": model, "findings": findings}, right=5, held_out=10)
        tiny.git("add", "evaluation")
        commit(tiny, "Retrain")
    assert "Chosen by chance" not in rounds_table(read_rounds(tiny, Decision(model="bb")))
    record(tiny, {"schema": 4, "model": "cc", "findings": {"story": {"images": 0, "right": 0}}}, right=5, held_out=10)
    table = rounds_table(read_rounds(tiny, Decision(model="cc")))
    assert table["Held-out images"].tolist() == ["10", "10", "10"]
    assert table["Chosen by chance"].tolist() == ["", "", "0"]
    assert table["Accuracy"].tolist() == ["50.0 %", "60.0 %", ""]


def test_the_finding_counts_the_images_that_chance_chose():
    scores = outcome(both=6, fixed=2, broken=1)
    scores["by_chance"] = [True] * 5 + [False] * 2 + [True] * 2
    assert find_accuracy(comparison_of(scores)).record == {"images": 7, "right": 6}


def test_the_interval_of_images_in_scenes_is_that_of_their_scenes(tiny):
    scores = outcome(both=60, neither=40).assign(scene=[f"s{number // 10}" for number in range(100)])
    finding = find_accuracy(comparison_of(scores)).record
    assert finding == {"images": 100, "right": 60, "design_effect": 10}
    record(tiny, {"schema": 4, "model": "aa", "findings": {"story": finding}}, 6, 10)
    told = read_rounds(tiny, Decision(model="aa")).iloc[-1]
    assert (told["low"], told["high"]) == wilson(6, 10)


def test_classes_that_came_or_went_are_named(tiny):
    new = [{"class": "fox", "images": 3, "right": 2}, {"class": "owl", "images": 0, "right": 0}]
    record(tiny, {"model": "aa", "new_classes": new, "lost_classes": new[:1]}, 3, 4)
    told = read_rounds(tiny, Decision(model="aa"))
    assert rounds_table(told)["Classes"].tolist() == ["new: fox, owl; lost: fox"]


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
    before = read_rounds(tiny, Decision(model="aa"))
    tiny.git("add", "evaluation")
    commit(tiny, "Retrain", "model/v1")
    assert read_rounds(tiny, Decision(model="aa")).equals(before)
    assert before["name"].tolist() == ["this round"]


def test_a_model_that_was_published_although_it_was_not_accepted_is_told_with_the_reason(tiny):
    publish(tiny, decision=REFUSED, anyway="the camera\nwas replaced")
    untagged = tiny.git("rev-parse", "HEAD").strip()
    record(tiny, {"model": "bb", "accepted": True, "replaces_commit": untagged}, 8, 10)
    commit(tiny, "Retrain", "model/v1")
    record(tiny, {"model": "cc", "replaces_commit": "model/v1"}, 9, 10)
    told = read_rounds(tiny, Decision(model="cc"))
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
    told = read_rounds(tiny, Decision(model="bb"))
    assert told[["name", "accuracy"]].to_numpy().tolist() == [["model/v1", 0.75], ["this round", 0.75]]
    assert told["published_because"][0] == "it is small"


def test_a_reason_that_no_commit_tells_is_said_to_be_missing(tiny):
    record(tiny, {"model": "aa", "accepted": False}, 3, 4)
    tiny.git("add", "evaluation")
    commit(tiny, "By hand")
    assert read_rounds(tiny, Decision(model="bb"))["published_because"][0] == "not recorded"


def test_a_commit_that_brings_an_earlier_decision_back_is_no_round_of_its_own(tiny):
    for model in ("aa", "bb"):
        record(tiny, {"model": model}, 3, 4)
        tiny.git("add", "evaluation")
        commit(tiny, "Retrain")
    tiny.git("revert", "--no-edit", "HEAD")
    assert len(read_rounds(tiny, Decision(model="cc"))) == 3
    tiny.git("rm", "--quiet", "evaluation/decision.json")
    commit(tiny, "Forget the decision")
    assert len(read_rounds(tiny, Decision(model="cc"))) == 3


def test_damaged_figures_of_a_round_are_gaps(tiny):
    record(tiny, {"model": "aa"}, 3, 4)
    (tiny.root / "evaluation/metrics.json").write_text('{"accuracy": ')
    (only,) = read_rounds(tiny, Decision(model="aa")).dropna(axis=1).to_dict("records")
    assert only == {"name": "this round"}


NAMES = ["start", "model/v1", "model/v2", "this round"]


def story_of(images: list[Any], accuracy: list[Any], names: list[str] = NAMES) -> pd.DataFrame:
    table = pd.DataFrame({"name": names[: len(images)], "training_images": images, "accuracy": accuracy})
    table["published_because"] = None
    return table.assign(low=table["accuracy"] - 0.05, high=table["accuracy"] + 0.05).convert_dtypes()


@pytest.mark.parametrize(
    ("accuracy", "finding"),
    [
        ([0.9, 0.95], "Accuracy rose from 90.0 % to 95.0 % with 1,200 training images, 300 at the start"),
        ([0.95, 0.9], "Accuracy fell from 95.0 % to 90.0 % with 1,200 training images, 300 at the start"),
        ([0.9, 0.9001], "Accuracy stayed at 90.0 % with 1,200 training images, 300 at the start"),
    ],
)
def test_the_story_says_where_it_began_and_where_it_is(accuracy, finding):
    assert draw_story(story_of([300, 1200], accuracy)).finding == finding


def test_one_model_is_no_story():
    assert draw_story(story_of([300], [0.9])) is None
    assert draw_story(story_of([300, None], [0.9, 0.95])) is None
    assert draw_story(story_of([300, 1200], [None, None])) is None


def test_each_model_is_named_and_the_present_one_stands_out():
    figure = draw_story(story_of([300, 600, 900, 1200], [0.9, 0.92, 0.94, 0.95]))
    assert {"start", "v1", "v2", "this round"} <= set(texts(figure))
    points = figure.axes[0].collections[-1]
    assert points.get_offsets().tolist() == [[300, 0.9], [600, 0.92], [900, 0.94], [1200, 0.95]]
    assert all(same_color(colour, QUIET) for colour in points.get_facecolor()[:3])
    assert same_color(points.get_facecolor()[3], NEW)


def test_a_model_that_was_published_although_it_was_not_accepted_is_a_ring():
    told = story_of([300, 600, 900], [0.9, 0.92, 0.94])
    assert "Rings" not in draw_story(told).note
    chart = draw_story(told.assign(published_because=pd.Series([None, "the camera was replaced", None])))
    opaque = [colour[3] > 0 for colour in chart.axes[0].collections[-1].get_facecolor()]
    assert opaque == [True, False, True]
    assert "Rings: published, although not accepted." in chart.note


def test_of_models_side_by_side_the_latest_is_named():
    figure = draw_story(story_of([300, 1190, 1200, 1200], [0.9, 0.92, 0.94, 0.95]))
    assert {"start", "v1", "v2", "this round"} & set(texts(figure)) == {"start", "this round"}
    same = draw_story(story_of([300, 300], [0.9, 0.92], ["model/v1", "this round"]))
    assert {"v1", "this round"} & set(texts(same)) == {"this round"}


ROUNDS = pd.DataFrame(
    {
        "name": ["model/v1", "this round"],
        "date": "2026-01-05",
        "training_images": [303, None],
        "held_out_images": [97, 318],
        "chosen_by_chance": [None, None],
        "accuracy": [0.928, None],
        "low": [0.858, None],
        "high": [0.965, None],
        "verdict": ["first", "better"],
        "added": [None, 953],
        "corrected": [None, 0],
        "classes": [None, None],
        "published_because": [None, None],
    }
).convert_dtypes()


def test_the_reason_for_publishing_a_model_that_was_not_accepted_has_a_column_where_there_is_one():
    assert "Published because" not in rounds_table(ROUNDS)
    told = ROUNDS.assign(published_because=pd.Series(["dark | light: a trial", None]))
    assert rounds_table(told)["Published because"].tolist() == ["dark | light: a trial", ""]


def test_the_table_of_rounds_leaves_gaps_where_nothing_is_known():
    first, second = rounds_table(ROUNDS).to_dict("records")
    assert (first["Training images"], first["Accuracy"], first["95 % interval"]) == (
        "303",
        "92.8 %",
        "85.8 % to 96.5 %",
    )
    assert (second["Accuracy"], second["95 % interval"]) == ("", "")
