"""The workspace is found, or everything that is missing is named."""

import shutil

import pytest

from helpers.pipeline.paths import MODEL
from helpers.problems import Problem
from helpers.workspace import open_workspace
from helpers.workspace.stages import reproduce


def test_the_root_is_found_from_any_folder_in_it(tiny):
    for folder in (tiny.root, tiny.root / "notebooks", tiny.root / "data/raw/dark"):
        folder.mkdir(exist_ok=True)
        assert open_workspace(folder).root == tiny.root


def test_a_folder_outside_any_project_is_named(tmp_path):
    with pytest.raises(Problem, match=str(tmp_path)):
        open_workspace(tmp_path)


def test_a_project_within_a_repository_is_refused_since_its_past_could_not_be_read(tiny):
    (tiny.root / "part").mkdir()
    for name in ("dvc.yaml", ".dvc", "data"):
        (tiny.root / name).rename(tiny.root / "part" / name)
    with pytest.raises(Problem, match="part/"):
        open_workspace(tiny.root / "part")


def test_everything_that_is_missing_is_named_at_once(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(Problem) as problem:
        open_workspace(tmp_path)
    assert all(part in str(problem.value) for part in ("git init", "dvc init", "data/raw"))


def test_files_of_another_user_are_not_taken_for_a_missing_repository(tiny, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(Problem, match="another user") as problem:
        open_workspace(tiny.root)
    assert f"git config --global --add safe.directory {tiny.root}" in str(problem.value)
    assert "git init" not in str(problem.value)


def test_a_damaged_configuration_is_not_taken_for_a_missing_repository(tiny):
    with (tiny.root / ".git/config").open("a") as config:
        config.write("[core\n")
    with pytest.raises(Problem, match="bad config line") as problem:
        open_workspace(tiny.root)
    assert "git init" not in str(problem.value)


@pytest.mark.slow
def test_a_workspace_path_may_have_spaces_and_accents(pristine_tiny, tmp_path):
    home = tmp_path / "été à la mer"
    shutil.copytree(pristine_tiny.parent, home, symlinks=True)
    workspace = open_workspace(home / "demo")
    assert reproduce(workspace) == "unchanged"
    assert workspace.read_at("HEAD", MODEL)
