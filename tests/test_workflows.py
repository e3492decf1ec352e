"""What GitHub runs: the shell steps, in a real repository."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from helpers.workspace import Workspace

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


def merge_round(workspace: Workspace, accepted: bool, sentence: str) -> None:
    decision = {"accepted": accepted, "sentence": sentence}
    (workspace.root / "evaluation/decision.json").write_text(json.dumps(decision))
    workspace.git("add", "evaluation")
    workspace.git("commit", "--quiet", "--message", "Retrain")
    run_tag_job(workspace)


def run_tag_job(workspace: Workspace) -> None:
    steps = yaml.safe_load((WORKFLOWS / "tag.yml").read_text())["jobs"]["tag"]["steps"]
    (script,) = [step["run"] for step in steps if "run" in step]
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=workspace.root, check=True)


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


def test_a_pull_request_brings_no_tag(merged):
    steps = yaml.safe_load((WORKFLOWS / "retrain.yml").read_text())["jobs"]["retrain"]["steps"]
    (command,) = [step["run"] for step in steps if "papermill" in step.get("run", "")]
    assert "-p tag False" in command
