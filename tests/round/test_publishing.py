"""The end of a round: published whole, and nothing else with it."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest
from round_steps import (
    DECISION,
    LINEAGE,
    REFUSED,
    colleague_of,
    go_back,
    images_of,
    merge_something,
    publish,
    push_something_else,
    tree_of,
)

from helpers.pipeline.paths import MODEL
from helpers.problems import Problem
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce


def test_a_colleague_gets_the_round_and_its_tag(tiny):
    merge_something(tiny)
    publish(tiny)
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    assert images_of(colleague) == images_of(tiny)
    assert colleague.git("log", "-1", "--format=%B").startswith(
        "Retrain: images 2 added, 0 moved, 1 left out\n\nBetter"
    )
    assert colleague.git("describe", "--tags").strip() == "model/v1"
    assert colleague.read_at("model/v1", MODEL) == (tiny.root / MODEL).read_bytes()


@pytest.mark.slow
def test_each_accepted_model_gets_the_next_tag(tiny):
    merge_something(tiny)
    publish(tiny)
    publish(tiny, decision=DECISION | {"sentence": "Better once more."})
    assert tiny.git("tag").split() == ["model/v1", "model/v2"]


@pytest.mark.slow
def test_what_is_not_the_rounds_is_neither_committed_nor_lost(tiny):
    (tiny.root / "staged.txt").write_text("staged")
    tiny.git("add", "staged.txt")
    (tiny.root / "Makefile").write_text("changed")
    (tiny.root / "loose.txt").write_text("loose")
    merge_something(tiny)
    publish(tiny)
    assert tiny.git("show", "--name-only", "--format=").split() == [
        "data/labels.csv.dvc",
        "data/raw.dvc",
        "dvc.lock",
        "evaluation/decision.json",
        "evaluation/metrics.json",
    ]
    assert tiny.git("status", "--porcelain").splitlines() == [" M Makefile", "A  staged.txt", "?? loose.txt"]


@pytest.mark.slow
def test_what_a_stage_of_ones_own_writes_for_git_belongs_to_the_round_and_notes_do_not(tiny):
    stages = tiny.root / "dvc.yaml"
    own = "  own:\n    cmd: echo {} > own.json\n    metrics:\n      - own.json:\n          cache: false\n"
    stages.write_text(stages.read_text().replace("\nplots:", f"{own}\nplots:", 1))
    tiny.git("commit", "--quiet", "--all", "--message", "A stage")
    (tiny.root / "own.json").write_text("{}\n")
    (tiny.root / "evaluation/notes.md").write_text("Mine.")
    merge_something(tiny)
    publish(tiny)
    assert "own.json" in tiny.git("show", "--name-only", "--format=").split()
    assert tiny.git("status", "--porcelain").splitlines() == ["?? evaluation/notes.md"]


@pytest.mark.slow
def test_publishing_again_says_that_nothing_is_left(tiny):
    merge_something(tiny)
    publish(tiny)
    before = tiny.git("rev-parse", "HEAD")
    assert any("committed already" in line for line in publish(tiny))
    assert tiny.git("rev-parse", "HEAD") == before


@pytest.mark.slow
def test_a_round_that_ended_between_its_commit_and_its_tag_gets_it_later(tiny):
    merge_something(tiny)
    publish(tiny)
    tiny.git("tag", "--delete", "model/v1")
    tiny.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
    publish(tiny)
    assert tiny.git("log", "-1", "--format=%s", "model/v1").startswith("Retrain: ")


@pytest.mark.slow
def test_the_message_counts_what_changed_since_the_last_commit_however_often_the_round_was_run(tiny):
    merge_something(tiny)
    publish(tiny)
    corrected = LINEAGE.replace("light/moved.png,light", "dark/moved.png,dark")
    later = corrected + LINEAGE.splitlines()[1].replace("aa", "cc") + "\n"
    (tiny.root / "data/labels.csv").write_text(later)
    (tiny.root / "evaluation/decision.json").write_text("[]\n")
    tiny.dvc("add", "data/labels.csv", quiet=True)
    publish(tiny, pd.DataFrame({"action": ["keep", "keep", "keep"]}))
    assert tiny.git("log", "-1", "--format=%s") == "Retrain: images 1 added, 1 moved, 0 left out\n"


@pytest.mark.slow
def test_a_push_that_was_killed_while_it_looked_what_to_send_is_not_taken_for_finished(tiny):
    merge_something(tiny)
    break_dvcs_list_of_what_to_push(tiny)
    publish(tiny)
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    assert images_of(colleague) == images_of(tiny)


def break_dvcs_list_of_what_to_push(workspace: Workspace) -> None:
    """Leave DVC as a kill does after the first of several outputs was listed."""
    code = """
import os
from dvc_data.index import collect
listing = collect._collect_from_index
def die_at_the_second(*args, **kwargs):
    collect._collect_from_index = lambda *args, **kwargs: os._exit(9)
    listing(*args, **kwargs)
collect._collect_from_index = die_at_the_second
from dvc.repo import Repo
Repo().push()
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=workspace.root)
    assert result.returncode == 9


@pytest.mark.slow
def test_a_model_that_is_not_accepted_needs_a_reason_which_is_remembered(tiny):
    merge_something(tiny)
    before = tiny.git("status", "--porcelain")
    with pytest.raises(Problem, match="The interval begins too low"):
        publish(tiny, decision=REFUSED)
    assert tiny.git("status", "--porcelain") == before
    publish(tiny, decision=REFUSED, anyway="the camera was replaced")
    assert "because: the camera was replaced" in tiny.git("log", "-1", "--format=%B")
    assert tiny.git("tag") == ""


@pytest.mark.slow
def test_without_a_dvc_remote_the_round_is_committed_but_git_points_nobody_at_missing_data(tiny):
    tiny.dvc("remote", "remove", "storage")
    merge_something(tiny)
    done = publish(tiny)
    assert any("DVC has no remote" in line for line in done)
    assert "Retrain" in tiny.git("log", "-1", "--format=%s")
    assert "Retrain" not in tiny.git("log", "-1", "--format=%s", "origin/main")


@pytest.mark.slow
def test_without_an_upstream_the_data_is_pushed_and_the_rest_is_said(tiny):
    tiny.git("branch", "--unset-upstream")
    merge_something(tiny)
    assert any("no upstream" in line for line in publish(tiny))
    assert "Retrain" in tiny.git("log", "-1", "--format=%s")


@pytest.mark.slow
def test_on_no_branch_nothing_is_done(tiny):
    merge_something(tiny)
    tiny.git("checkout", "--quiet", "--detach")
    with pytest.raises(Problem, match="no branch"):
        publish(tiny)
    assert "Retrain" not in tiny.git("log", "-1", "--format=%s")


def tags_of_the_remote(workspace: Workspace) -> list[str]:
    return [line.split("/", 2)[2] for line in workspace.git("ls-remote", "--tags", "--refs", "origin").splitlines()]


@pytest.mark.slow
def test_a_push_that_is_rejected_leaves_no_tag_and_can_be_repeated_with_the_same_command(tiny):
    push_something_else(tiny)
    merge_something(tiny)
    with pytest.raises(Problem, match="rejected"):
        publish(tiny)
    assert tags_of_the_remote(tiny) == []
    tiny.git("pull", "--quiet", "--rebase")
    publish(tiny)
    assert tiny.git("rev-parse", "HEAD", "model/v1^{}") == tiny.git("rev-parse", "origin/main", "HEAD")
    assert tags_of_the_remote(tiny) == tiny.git("tag").split() == ["model/v1"]


@pytest.mark.slow
def test_only_the_tag_of_the_round_is_pushed(tiny):
    tiny.git("tag", "--annotate", "--message", "Mine", "draft")
    merge_something(tiny)
    publish(tiny)
    assert tags_of_the_remote(tiny) == ["model/v1"]


@pytest.mark.slow
def test_a_number_that_a_colleague_has_used_is_not_used_again(tiny):
    colleague = colleague_of(tiny)
    colleague.git("tag", "model/v1")
    colleague.git("push", "--quiet", "origin", "model/v1")
    merge_something(tiny)
    publish(tiny)
    assert tags_of_the_remote(tiny) == ["model/v1", "model/v2"]
    assert tiny.git("rev-parse", "model/v2^{}") == tiny.git("rev-parse", "HEAD")


@pytest.mark.slow
def test_a_pull_request_can_give_the_tag_later(tiny):
    merge_something(tiny)
    publish(tiny, tag=False)
    assert tiny.git("tag") == ""
    assert tiny.git("rev-parse", "HEAD") == tiny.git("rev-parse", "origin/main")


@pytest.mark.slow
def test_the_branch_is_pushed_to_its_upstream_whatever_its_name(tiny):
    tiny.git("switch", "--quiet", "--create", "work", "--track", "origin/main")
    merge_something(tiny)
    done = publish(tiny)
    assert tiny.git("ls-remote", "--heads", "origin").split() == [
        tiny.git("rev-parse", "HEAD").strip(),
        "refs/heads/main",
    ]
    assert any("`main` of `origin`" in line for line in done)


@pytest.mark.slow
def test_without_a_name_for_git_the_round_is_there_to_be_published_later(tiny):
    merge_something(tiny)
    tiny.git("config", "--unset", "user.name")
    tiny.git("config", "--unset", "user.email")
    tiny.git("config", "user.useConfigOnly", "true")
    with pytest.raises(Problem, match="tell me who you are"):
        publish(tiny)
    tiny.git("config", "user.name", "Somebody")
    tiny.git("config", "user.email", "some@body")
    publish(tiny)
    assert tiny.git("rev-parse", "HEAD") == tiny.git("rev-parse", "origin/main")


@pytest.mark.slow
def test_a_hook_that_fails_leaves_the_round_to_be_published_later(tiny):
    hook = tiny.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho the linter is unhappy >&2\nexit 1\n")
    hook.chmod(0o755)
    merge_something(tiny)
    with pytest.raises(Problem, match="the linter is unhappy"):
        publish(tiny)
    hook.unlink()
    publish(tiny)
    assert tiny.git("rev-parse", "HEAD") == tiny.git("rev-parse", "origin/main")


@pytest.mark.slow
def test_a_dvc_remote_that_cannot_be_written_stops_before_git_moves(tiny):
    storage = tiny.root.with_name("demo-storage")
    shutil.rmtree(storage)
    storage.write_text("not a folder")
    merge_something(tiny)
    before = tiny.git("rev-parse", "HEAD")
    with pytest.raises(Problem, match="dvc push"):
        publish(tiny)
    assert tiny.git("rev-parse", "HEAD") == before
    storage.unlink()
    publish(tiny)
    assert tiny.git("rev-parse", "HEAD") == tiny.git("rev-parse", "origin/main")


@pytest.mark.slow
def test_the_documented_command_goes_back_to_every_model(tiny):
    first, start = tree_of(tiny), tiny.commit_of("HEAD")
    merge_something(tiny)
    publish(tiny)
    second = tree_of(tiny)
    (tiny.root / "params.yaml").write_text((tiny.root / "params.yaml").read_text().replace("epochs: 1", "epochs: 2"))
    reproduce(tiny)
    publish(tiny)
    assert tree_of(tiny)[MODEL] != second[MODEL]
    (tiny.root / "extra-data/project-1.json").write_text("[]")
    go_back(tiny, "model/v1")
    assert tree_of(tiny) == second
    go_back(tiny, start)
    assert tree_of(tiny) == first
    assert (tiny.root / "extra-data/project-1.json").exists()
