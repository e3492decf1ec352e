"""What GitHub runs: the shell steps, in a real repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from round_steps import merge_something, publish

from helpers.round.state import find_round
from helpers.workspace import DECISION, Workspace

WORKFLOWS = Path(__file__).parents[1] / ".github/workflows"


@pytest.fixture
def merged(tmp_path) -> Workspace:
    """A clone whose main branch has just got a round from a pull request."""
    workspace = Workspace(tmp_path / "clone")
    (workspace.root / "evaluation").mkdir(parents=True)
    Workspace(tmp_path).git("init", "--quiet", "--bare", "remote.git")
    workspace.git("init", "--quiet", "--initial-branch=main")
    workspace.git("remote", "add", "origin", "../remote.git")
    workspace.git("config", "user.name", "Sample")
    workspace.git("config", "user.email", "sample@example.com")
    return workspace


def commit_round(workspace: Workspace, accepted: bool, sentence: str) -> None:
    workspace.save(DECISION, {"accepted": accepted, "sentence": sentence})
    workspace.git("add", "evaluation")
    workspace.git("commit", "--quiet", "--message", "Retrain")


def merge_round(workspace: Workspace, accepted: bool, sentence: str) -> None:
    commit_round(workspace, accepted, sentence)
    run_tag_job(workspace)


def steps_of(workflow: str) -> list[dict[str, str]]:
    (job,) = yaml.safe_load((WORKFLOWS / workflow).read_text())["jobs"].values()
    return [step for step in job["steps"] if "run" in step]


def run_tag_job(workspace: Workspace) -> None:
    (step,) = steps_of("tag.yml")
    assert step["shell"] == "python3 {0}"
    subprocess.run([sys.executable, "-c", step["run"]], cwd=workspace.root, check=True)


def tags_of(workspace: Workspace) -> list[str]:
    """What each tag of a model says, in the order of their numbers."""
    form = ["--sort=version:refname", "--format=%(contents:subject)"]
    return workspace.git("for-each-ref", *form, "refs/tags/model/v[0-9]").splitlines()


def test_each_accepted_round_that_is_merged_gets_the_next_tag_and_no_other_does(merged):
    merge_round(merged, True, 'Better: it\'s 99 % "right".')
    merge_round(merged, False, "Worse.")
    merge_round(merged, True, "Equivalent.")
    assert merged.git("tag", "--list", "--format=%(contents:subject)").splitlines() == [
        'Better: it\'s 99 % "right".',
        "Equivalent.",
    ]
    assert merged.git("rev-parse", "model/v2^{}") == merged.git("rev-parse", "HEAD")
    assert "refs/tags/model/v2" in merged.git("ls-remote", "origin")


def test_a_round_that_was_published_with_its_tag_gets_no_second_one(merged):
    merge_round(merged, True, "Better.")
    merged.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
    run_tag_job(merged)
    assert merged.git("tag").split() == ["model/v1"]


def test_rounds_that_are_merged_quickly_are_all_tagged_by_the_last_run_in_their_order(merged):
    merge_round(merged, True, "First.")
    for accepted, sentence in ((True, "Second."), (False, "Worse."), (True, "Third.")):
        merged.git("switch", "--quiet", "--create", "round")
        commit_round(merged, accepted, sentence)
        merged.git("switch", "--quiet", "main")
        merged.git("merge", "--quiet", "--no-ff", "--message", "Merge a pull request", "round")
        merged.git("branch", "--quiet", "--delete", "round")
    run_tag_job(merged)
    assert tags_of(merged) == ["First.", "Second.", "Third."]
    assert merged.git("rev-parse", "model/v3^{}").strip() == find_round(merged)[0]


def test_a_round_that_was_reverted_is_no_new_model_and_neither_is_the_one_before_it(merged):
    merge_round(merged, True, "First.")
    merge_round(merged, True, "Second.")
    merged.git("revert", "--no-edit", "HEAD")
    run_tag_job(merged)
    commit_round(merged, True, "Reverted at once.")
    merged.git("revert", "--no-edit", "HEAD")
    run_tag_job(merged)
    assert tags_of(merged) == ["First.", "Second."]
    merged.git("revert", "--no-edit", "HEAD~2")  # the second one, after all
    merge_round(merged, True, "Third.")
    assert tags_of(merged) == ["First.", "Second.", "Third."]


def test_the_only_round_can_be_reverted(merged):
    merged.git("commit", "--quiet", "--allow-empty", "--message", "Begin")
    commit_round(merged, True, "First.")
    merged.git("revert", "--no-edit", "HEAD")
    run_tag_job(merged)
    assert tags_of(merged) == []


def test_a_tag_that_is_no_number_does_not_disturb_the_count(merged):
    merge_round(merged, True, "First.")
    merged.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
    for name in ("model/v3.1", "model/vgg", "model/v08"):
        merged.git("tag", name, "HEAD~1")
    merge_round(merged, True, "Ninth.")
    assert "model/v9" in merged.git("tag", "--points-at", "HEAD")


def start_branch(workspace: Workspace, attempt: int) -> str:
    """Run the step that starts the branch of a round, as the given attempt of one run; gives the branch."""
    environment = yaml.safe_load((WORKFLOWS / "retrain.yml").read_text())["jobs"]["retrain"]["env"]
    branch = environment["ROUND"].replace("${{ github.run_id }}", "42")
    branch = branch.replace("${{ github.run_attempt }}", str(attempt))
    (script,) = [step["run"] for step in steps_of("retrain.yml") if "branch" in step["name"]]
    command = ["bash", "-eo", "pipefail", "-c", script]
    subprocess.run(command, cwd=workspace.root, check=True, env=os.environ | {"ROUND": branch})
    return branch


@pytest.mark.slow
def test_a_run_that_is_repeated_pushes_a_branch_of_its_own_and_none_without_a_round(tiny):
    def branches() -> str:
        return tiny.git("ls-remote", "--heads", "origin", "round/*")

    assert start_branch(tiny, attempt=1) == "round/42-1"
    assert branches() == ""
    merge_something(tiny)
    publish(tiny, tag=False)
    assert branches().split() == [tiny.commit_of("HEAD"), "refs/heads/round/42-1"]

    tiny.git("switch", "--quiet", "main")  # as the next attempt finds it
    tiny.dvc("checkout", quiet=True)
    start_branch(tiny, attempt=2)
    merge_something(tiny)
    publish(tiny, tag=False)
    assert "refs/heads/round/42-2" in branches()
    assert tiny.git("tag") == ""


def test_a_pull_request_brings_no_tag(merged):
    (command,) = [step["run"] for step in steps_of("retrain.yml") if "papermill" in step["run"]]
    assert "-p tag False" in command
