"""The digits are a real workspace, for any user and from any copy of the project."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from tiny_backbones import write_backbone

from examples import workspace
from examples.digits import write_digits
from examples.workspace import PROJECT, clone_project, make_workspace, name_author
from helpers.pipeline.paths import MODEL, RAW
from helpers.problems import Problem
from helpers.workspace import EXTRA, Workspace
from helpers.workspace.stages import dvc_status


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def digits(tmp_path) -> Path:
    """The images and the export of the digits alone."""
    write_digits(tmp_path)
    return tmp_path


def test_there_are_labelled_images_and_images_to_label(digits):
    raw = list((digits / RAW).glob("*/*.png"))
    assert len(raw) == 400
    assert {path.parent.name for path in raw} == set("0123456789")
    assert len(list((digits / EXTRA).glob("*.png"))) == 1000
    assert Image.open(raw[0]).size == (8, 8)


def test_the_export_has_what_real_rounds_have(digits):
    rows = json.loads((digits / EXTRA / "annotations.json").read_text())
    labels: dict[str, list[str]] = {}
    for row in rows:
        labels.setdefault(row["image"], []).append(row.get("choice", ""))
    kinds = Counter(
        "disputed" if len(set(given)) > 1 else "agreed" if len(given) > 1 else "labelled" if given[0] else "no label"
        for given in labels.values()
    )
    assert kinds["labelled"] > 900
    assert kinds["disputed"] > 1
    assert kinds["agreed"] > 1
    assert sum(row["annotation_id"] is None for row in rows) > 1
    assert sum(row["annotation_id"] is not None and "choice" not in row for row in rows) == 1


def test_a_workspace_is_committed_and_pushed_whole(tiny, run, tmp_path):
    assert tiny.git("status", "--porcelain") == ""
    assert tiny.git("rev-parse", "HEAD") == tiny.git("rev-parse", "origin/main")
    run("git", "clone", "--quiet", tiny.root.with_name("demo.git"), tiny.root.with_name("colleague"), cwd=tmp_path)
    colleague = Workspace(tiny.root.with_name("colleague"))
    colleague.dvc("pull", quiet=True)
    assert (colleague.root / MODEL).read_bytes() == (tiny.root / MODEL).read_bytes()
    assert len(list((colleague.root / RAW).glob("*/*.png"))) == 24


def test_making_it_again_changes_nothing(tiny):
    before = snapshot(tiny.root.parent)
    assert make_workspace(tiny.root, write_digits, "again") is False
    assert snapshot(tiny.root.parent) == before


def test_a_folder_that_is_something_else_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(Problem, match="photos"):
        make_workspace(tmp_path / "photos", write_digits, "again")


@pytest.fixture
def archive(tmp_path) -> Path:
    """The project as a downloaded archive gives it: without its history."""
    folder = tmp_path / "archive"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(".git", ".venv", "demo*", ".*_cache", "__pycache__"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("is_there", [True, False])
def test_it_can_be_made_from_a_project_that_has_a_backbone(archive, monkeypatch, is_there):
    """Git ignores its file, so only its pointer is copied like other files."""
    setting = write_backbone(archive)
    digest = hashlib.md5((archive / setting).read_bytes()).hexdigest()
    (archive / f"{setting}.dvc").write_text(f"outs:\n- md5: {digest}\n  hash: md5\n  path: tiny.onnx\n")
    if is_there:
        params = archive / "params.yaml"
        params.write_text(params.read_text().replace("backbone: none", f"backbone: {setting}"))
    else:
        (archive / setting).unlink()
    monkeypatch.setattr(workspace, "PROJECT", archive)
    assert make_workspace(archive / "sandbox", write_digits, "Train the baseline")
    sandbox = Workspace(archive / "sandbox")
    assert (sandbox.root / MODEL).exists()
    assert (sandbox.root / setting).exists() == is_there
    assert sandbox.git("status", "--porcelain") == ""
    assert dvc_status(sandbox, "--cloud") == []


def test_a_copy_of_a_shallow_clone_can_be_pushed(run, tmp_path, monkeypatch):
    """`git clone --depth 1` and GitHub's checkout leave out the history."""
    run("git", "clone", "--quiet", "--depth=1", PROJECT.as_uri(), "shallow", cwd=tmp_path)
    monkeypatch.setattr(workspace, "PROJECT", tmp_path / "shallow")
    clone_project(tmp_path / "sandbox")
    sandbox = Workspace(tmp_path / "sandbox")
    name_author(sandbox)
    sandbox.git("init", "--quiet", "--bare", "../remote.git")
    sandbox.git("add", "--all")
    sandbox.git("commit", "--quiet", "--allow-empty", "--message", "All of it")
    sandbox.git("push", "--quiet", "../remote.git", "HEAD:main")


@pytest.mark.slow
def test_it_can_be_made_from_an_archive_after_an_interruption_and_without_an_identity(archive):
    command = [sys.executable, "-m", "examples.digits", "sandbox"]
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key == "GIT_CONFIG_NOSYSTEM"
    }
    (archive / "sandbox.part").mkdir()
    (archive / "sandbox-storage").mkdir()
    before = snapshot(archive)
    result = subprocess.run(command, cwd=archive, env=clean, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    sandbox = Workspace(archive / "sandbox")
    assert sandbox.git("status", "--porcelain") == ""
    assert sandbox.git("log", "--format=%an").split() == ["Sample"]
    assert {path: seen for path, seen in snapshot(archive).items() if path in before} == before
