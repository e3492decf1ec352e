"""Git answers the same, whatever a person has configured and whichever program has started the round."""

import pytest
from hostile import make_hostile_home

from helpers.pipeline.paths import INDEX
from helpers.problems import Problem
from helpers.round.past import past_models
from helpers.round.state import find_round, find_state, is_changed, tell_state
from helpers.round.verdict import list_changes
from helpers.workspace import DECISION, Workspace, open_workspace
from helpers.workspace.stages import dvc_status


@pytest.fixture
def hostile(tiny, tmp_path, monkeypatch) -> Workspace:
    """A tiny workspace of a person whose git is configured to say everything in another way."""
    monkeypatch.setenv("HOME", str(make_hostile_home(tmp_path / "home")))
    return tiny


def commit_a_round(workspace: Workspace) -> str:
    """Commit a decision and another dvc.lock, and return the commit."""
    workspace.save(DECISION, {"accepted": True, "sentence": "Better."})
    (workspace.root / "dvc.lock").write_text((workspace.root / "dvc.lock").read_text() + "\n")
    workspace.git("add", "--all")
    workspace.git("commit", "--quiet", "--message", "A round")
    return workspace.git("rev-parse", "HEAD").strip()


def test_the_signature_of_a_commit_is_not_taken_for_a_commit(hostile):
    commit = commit_a_round(hostile)
    assert b"gpgsig" in hostile.git("cat-file", "commit", "HEAD").encode()
    assert find_round(hostile) == (commit, "")
    assert past_models(hostile) == [commit]
    assert "committed" in tell_state(hostile)
    hostile.git("push", "--quiet", "origin", "HEAD:main")
    assert find_state(hostile) == "published"


def test_files_are_read_as_they_were_committed(hostile):
    commit_a_round(hostile)
    assert hostile.load(DECISION, "HEAD")["sentence"] == "Better."


def test_a_file_that_is_new_is_a_change_also_where_git_does_not_list_new_files(hostile):
    assert not is_changed(hostile)
    hostile.save(DECISION, {})
    assert is_changed(hostile)


def test_files_are_named_as_they_are_called_also_where_one_was_renamed(hostile):
    (hostile.root / "backbones/efficientnet-lite0.yaml").rename(hostile.root / "backbones/réseau.yaml")
    hostile.git("add", "backbones")
    renamed = ["backbones/efficientnet-lite0.yaml", "backbones/réseau.yaml"]
    assert hostile.changes("backbones") == renamed
    assert list_changes(hostile, "HEAD") == renamed


def test_a_round_that_a_hook_of_another_repository_starts_works_in_its_own(tiny, tmp_path, monkeypatch):
    head, status = tiny.git("rev-parse", "HEAD"), dvc_status(tiny)
    other = tmp_path / "other"
    tiny.git("init", "--quiet", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert open_workspace(tiny.root).git("rev-parse", "HEAD") == head
    assert tiny.read_at("HEAD", INDEX) == (tiny.root / INDEX).read_bytes()
    assert dvc_status(tiny) == status


def test_the_message_of_a_commit_that_fails_stays_out_of_the_headline(tiny):
    with pytest.raises(Problem) as problem:
        tiny.git("commit", "--message", "Retrain\n\nBetter.\n\nFor a reason", "--only", "--", "nothing")
    assert problem.value.headline == f"`git commit --message Retrain … --only -- nothing` failed in {tiny.root}."


def test_a_clone_has_the_same_bytes_whatever_ends_of_lines_git_is_set_to_write(tiny, run):
    """DVC knows code by its bytes: with other ones all stages would be changed."""
    clone = tiny.root.with_name("clone")
    run("git", "-c", "core.autocrlf=true", "clone", "--quiet", tiny.root.with_name("demo.git"), clone, cwd=tiny.root)
    tracked = tiny.git("ls-files", "-z").split("\0")[:-1]
    assert "helpers/decode.py" in tracked
    assert [file for file in tracked if (clone / file).read_bytes() != (tiny.root / file).read_bytes()] == []
