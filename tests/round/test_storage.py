"""What a round publishes is in DVC's remote, or nothing is published."""

import shutil

import pytest
from round_steps import PARAMETERS, colleague_of, images_of, merge_something, publish

from helpers.pipeline.paths import MODEL
from helpers.problems import Problem
from helpers.round.start import start_round
from helpers.workspace import Workspace


def assert_not_published(workspace: Workspace, reason: str) -> None:
    before = workspace.git("rev-parse", "HEAD"), workspace.git("status", "--porcelain")
    with pytest.raises(Problem, match=reason):
        publish(workspace)
    assert (workspace.git("rev-parse", "HEAD"), workspace.git("status", "--porcelain")) == before


def assert_a_fresh_clone_has_everything(workspace: Workspace) -> None:
    colleague = colleague_of(workspace)
    colleague.dvc("pull", quiet=True)
    assert images_of(colleague) == images_of(workspace)
    assert (colleague.root / MODEL).read_bytes() == (workspace.root / MODEL).read_bytes()


MODEL_LINE = "      - model/classifier.bentomodel\n  evaluate"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "pushed", "kept"),
    [
        ("data/raw.dvc", "  path: raw\n", "  path: raw\n  push: false\n"),
        ("dvc.yaml", MODEL_LINE, MODEL_LINE.replace("\n", ":\n          push: false\n")),
    ],
)
def test_data_that_dvc_would_not_push_is_refused_before_anything_is_changed(tiny, where, pushed, kept):
    file = tiny.root / where
    assert pushed in file.read_text()
    file.write_text(file.read_text().replace(pushed, kept))
    tiny.git("commit", "--quiet", "--message", "Keep it here", "--only", where)
    reason = "has `push: false` in " + where
    with pytest.raises(Problem, match=reason):
        start_round(tiny, **PARAMETERS | {"publish": True})
    merge_something(tiny)
    assert_not_published(tiny, reason)
    start_round(tiny, **PARAMETERS)
    file.write_text(file.read_text().replace(kept, pushed))
    tiny.git("commit", "--quiet", "--message", "Push it", "--only", where)
    publish(tiny)
    assert_a_fresh_clone_has_everything(tiny)


@pytest.mark.slow
def test_images_that_are_imported_are_refused_until_they_are_the_projects_own(tiny):
    colleague_of(tiny).dvc("pull", quiet=True)
    registry = tiny.root.with_name("colleague").rename(tiny.root.with_name("registry"))
    pointer = tiny.root / "data/raw.dvc"
    pointer.unlink()
    shutil.rmtree(tiny.raw)
    tiny.dvc("import", str(registry), "data/raw", "--out", "data/raw", quiet=True)
    tiny.git("commit", "--quiet", "--message", "Import the images", "--only", "data/raw.dvc")
    with pytest.raises(Problem, match=r"`rm data/raw\.dvc`, then `dvc add data/raw`"):
        start_round(tiny, **PARAMETERS | {"publish": True})
    start_round(tiny, **PARAMETERS)
    merge_something(tiny)
    assert_not_published(tiny, "data/raw is imported")
    pointer.unlink()
    tiny.dvc("add", "data/raw", quiet=True)
    publish(tiny)
    assert_a_fresh_clone_has_everything(tiny)


@pytest.mark.slow
def test_a_push_that_left_a_file_behind_is_not_taken_for_a_whole_one(tiny, monkeypatch):
    merge_something(tiny)
    monkeypatch.setattr(Workspace, "dvc", without_push(Workspace.dvc))
    assert_not_published(tiny, "lacks files of the round")


def without_push(dvc):
    """DVC, whose push says that all is well and does nothing."""
    return lambda self, *arguments, **options: [] if arguments == ("push",) else dvc(self, *arguments, **options)
