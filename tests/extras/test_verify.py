"""Anybody can check a published model, and one flipped byte is found."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from round_steps import decide

from extras import verify as module
from extras.verify import find_python, verify
from helpers.pipeline.paths import MODEL, PARAMS
from helpers.problems import Problem
from helpers.round.publishing import publish_round
from helpers.workspace import DECISION, LINEAGE, Workspace
from helpers.workspace.stages import reproduce

pytestmark = pytest.mark.slow
PLAN = pd.DataFrame({"action": ["add"]})


def set_epochs(workspace: Workspace, epochs: int) -> None:
    params = workspace.root / PARAMS
    settings = yaml.safe_load(params.read_text())
    settings["train"]["epochs"] = epochs
    params.write_text(yaml.safe_dump(settings))


def publish(workspace: Workspace, epochs: int) -> Workspace:
    """Train and publish a round, tagged as ``model/v1``."""
    set_epochs(workspace, epochs)
    workspace.lineage.write_text("file,label,sha256,task,annotators,updated_at,export_sha256,by_model\n")
    workspace.dvc("add", LINEAGE, quiet=True)
    reproduce(workspace)
    publish_round(workspace, PLAN, decide(workspace), anyway="a test")
    workspace.git("tag", "--force", "model/v1")
    return workspace


@pytest.fixture
def published(tiny) -> Workspace:
    return publish(tiny, epochs=2)


def commit(workspace: Workspace) -> None:
    workspace.git("commit", "--quiet", "--all", "--message", "Something is changed")
    workspace.git("tag", "--force", "model/v1")


def test_the_same_training_gives_the_same_model_and_leaves_nothing_behind(published):
    before = published.git("status", "--porcelain"), (published.root / ".git/config").read_bytes()
    refs = published.git("for-each-ref")
    said = verify(published, "model/v1")
    assert "The training gives the same model, byte for byte." in said
    assert f"The committed model is judged as the commit says: {published.load(DECISION)['verdict']}." in said
    assert (published.git("status", "--porcelain"), (published.root / ".git/config").read_bytes()) == before
    assert published.git("for-each-ref") == refs


def test_it_works_in_a_fresh_clone_whose_workspace_has_changed_since(published):
    (published.raw / "dark/0.png").unlink()
    set_epochs(published, 9)
    assert "byte for byte" in verify(published, "model/v1")


def flip_last_byte(workspace: Workspace, content: bytes) -> None:
    """Spoil an object of DVC in the cache and in the remote, as a disk or a person may do."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    objects = list(workspace.root.parent.rglob(f"{md5[:2]}/{md5[2:]}"))
    assert len(objects) == 2
    for file in objects:
        mode = file.stat().st_mode
        file.chmod(0o644)
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        file.chmod(mode)


@pytest.mark.parametrize("place", [LINEAGE, "data/raw/dark/0.png", MODEL])
def test_a_flipped_byte_of_labels_pictures_or_model_is_found(published, place):
    flip_last_byte(published, (published.root / place).read_bytes())
    with pytest.raises(Problem) as caught:
        verify(published, "model/v1")
    assert any(place.removesuffix("/dark/0.png") in line for line in str(caught.value).splitlines())


def test_another_model_than_the_decision_is_about_is_found(published):
    set_epochs(published, 3)
    reproduce(published)
    commit(published)
    with pytest.raises(Problem, match="and the decision is about"):
        verify(published, "model/v1")


def test_code_that_did_not_make_the_model_is_found(published):
    code = published.root / "helpers/pipeline/train.py"
    code.write_text(code.read_text() + "# harmless\n")
    commit(published)
    with pytest.raises(Problem, match=r"helpers/pipeline/train\.py"):
        verify(published, "model/v1")


def edit_figure(record: dict) -> None:
    record["figures"][0]["new"] += 0.001


EDITS: dict[str, Callable[[dict], object]] = {
    "verdict": lambda record: record.update(verdict="better"),
    "accepted": lambda record: record.update(accepted=not record["accepted"]),
    "images": lambda record: record["images"][0].update(fixed=9),
    "rule enough": lambda record: record["rules"][0].update(passed=not record["rules"][0]["passed"]),
    "policy": lambda record: record["policy"].update(margin=0.5),
    "figures": edit_figure,
    "sentence": lambda record: record.update(sentence="Better: 100 % of all images right."),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_decision_is_found(published, monkeypatch, what):
    monkeypatch.setattr(module, "run_dvc", lambda *_, **__: None)  # it is the same model anyway
    record = json.loads((published.root / DECISION).read_text())
    EDITS[what](record)
    (published.root / DECISION).write_text(json.dumps(record))
    commit(published)
    with pytest.raises(Problem) as caught:
        verify(published, "model/v1")
    assert what in caught.value.details


@pytest.fixture
def other_training(monkeypatch):
    """A training in the copy that has another number of epochs, as another processor would round in other ways."""

    def use(epochs: int) -> None:
        def run(root: Path, *arguments: str, python: str) -> None:
            set_epochs(Workspace(root), epochs)
            as_it_is(root, *arguments, python=python)

        as_it_is = module.run_dvc
        monkeypatch.setattr(module, "run_dvc", run)

    return use


def test_a_model_that_another_processor_explains_is_measured_and_judged(published, other_training):
    other_training(3)
    said = verify(published, "model/v1")
    assert "The training gives another model: a probability differs by up to 0." in said
    assert "of 7 predictions" in said
    assert "The model that was trained here is judged: " in said


def test_a_model_that_no_processor_explains_is_found(sample, other_training):
    publish(sample, epochs=8)
    other_training(1)
    with pytest.raises(Problem, match="more than another processor explains"):
        verify(sample, "model/v1")


def test_a_decision_of_earlier_rules_is_not_made_again(published):
    record = json.loads((published.root / DECISION).read_text())
    (published.root / DECISION).write_text(json.dumps(record | {"schema": 3}))
    commit(published)
    assert "Earlier rules made the decision" in verify(published, "model/v1")


def test_other_requirements_have_an_environment_of_their_own(tiny, tmp_path):
    assert find_python(tiny, tiny, tmp_path) == sys.executable
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/requirements.txt").write_text("# none\n")
    python = find_python(tiny, Workspace(tmp_path / "copy"), tmp_path)
    assert Path(python).is_relative_to(tmp_path)
    assert Path(python).exists()


def test_a_commit_without_a_decision_says_so(tiny):
    with pytest.raises(Problem, match="no readable"):
        verify(tiny, "HEAD")
