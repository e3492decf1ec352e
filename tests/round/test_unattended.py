"""Runs that nobody watches finish their own rounds, and leave alone what people have begun."""

from datetime import UTC, datetime

import pytest
from notebook_runs import run_notebook
from PIL import Image
from round_steps import LINEAGE, merge_something, publish

from helpers.problems import Problem
from helpers.round.unattended import STARTED_BY, require_own_work, require_recorded_data
from helpers.workspace import DECISION

OURS = "project 7"
PUBLISH = ["-p", "publish", "True", "-r", "publish_anyway", "few images"]


def change_settings(workspace):
    params = workspace.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 2"))


def commit_a_round(workspace):
    merge_something(workspace)
    workspace.git("branch", "--unset-upstream")
    publish(workspace)
    workspace.git("branch", "--set-upstream-to", "origin/main")


WORK = {
    merge_something: "A round is open since",
    change_settings: "Files of a round were changed by hand",
    commit_a_round: "Another round is committed",
}


@pytest.mark.parametrize("begin", WORK)
def test_the_work_of_a_person_is_in_the_way(tiny, begin):
    require_own_work(tiny, OURS)
    begin(tiny)
    with pytest.raises(Problem, match=WORK[begin]):
        require_own_work(tiny, OURS)


@pytest.mark.slow
@pytest.mark.parametrize("begin", [merge_something, commit_a_round])
def test_a_run_goes_on_with_its_own_round_and_with_that_of_no_other_project(tiny, begin, monkeypatch):
    monkeypatch.setenv(STARTED_BY, OURS)
    begin(tiny)
    require_own_work(tiny, OURS)
    for other in ("project 77", "project"):
        with pytest.raises(Problem, match=WORK[begin]):
            require_own_work(tiny, other)


@pytest.mark.slow
def test_it_is_told_since_when_the_round_of_whom_is_open(tiny, monkeypatch):
    before = datetime.now(UTC).replace(microsecond=0)
    merge_something(tiny)
    with pytest.raises(Problem) as problem:
        require_own_work(tiny, OURS)
    since, _, whose = problem.value.headline.removeprefix("A round is open since ").partition(". ")
    assert before <= datetime.fromisoformat(since) <= datetime.now(UTC)
    assert whose == "It was begun by hand."
    monkeypatch.setenv(STARTED_BY, OURS)
    publish(tiny)
    merge_something(tiny, LINEAGE.replace("new.png", "other.png"))
    with pytest.raises(Problem, match="Started by project 7"):
        require_own_work(tiny, "project 8")


@pytest.mark.slow
def test_images_that_a_person_added_are_in_the_way_and_those_of_an_open_round_are_not(tiny):
    require_recorded_data(tiny)
    Image.new("L", (8, 8), 99).save(tiny.raw / "dark/by-hand.png")
    with pytest.raises(Problem, match="changed by hand"):
        require_recorded_data(tiny)
    merge_something(tiny)
    Image.new("L", (8, 8), 98).save(tiny.raw / "dark/half-merged.png")
    require_recorded_data(tiny)


@pytest.mark.slow
def test_with_no_new_label_it_does_nothing_and_judges_no_published_model_again(tiny, monkeypatch):
    result = run_notebook(tiny, "retrain.ipynb", *PUBLISH)
    assert result.returncode == 0, result.stderr
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("margin: 0.02", "margin: 0.2"))
    tiny.git("commit", "--quiet", "--all", "--message", "Another policy")
    tiny.git("push", "--quiet")
    before, head = (tiny.root / DECISION).stat(), tiny.commit_of("HEAD")
    monkeypatch.setenv(STARTED_BY, OURS)
    result = run_notebook(tiny, "retrain.ipynb", *PUBLISH)
    assert result.returncode == 0, result.stderr
    assert "There is nothing new to merge" in (tiny.root / "out.ipynb").read_text()
    assert (tiny.root / DECISION).stat() == before
    assert tiny.commit_of("HEAD") == head
    assert tiny.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_it_ends_before_any_change_where_a_person_has_begun_something(tiny, monkeypatch):
    change_settings(tiny)
    Image.new("L", (8, 8), 99).save(tiny.raw / "dark/by-hand.png")
    before = tiny.git("status", "--porcelain")
    monkeypatch.setenv(STARTED_BY, OURS)
    result = run_notebook(tiny, "retrain.ipynb", *PUBLISH)
    assert result.returncode == 1
    assert "Files of a round were changed by hand" in result.stderr
    assert "The training set was changed by hand" in result.stderr
    assert tiny.git("status", "--porcelain") == before
