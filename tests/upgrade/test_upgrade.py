"""A project that people made from an earlier template takes the present one, and its rounds go on.

A folder here holds such a project, named after the commit of the template that it was made from: a git bundle, which
needs that commit, and the files of DVC's cache. Its two classes have 48 pictures and 8 more in each of four rounds: the
first is published as model/v1, the second without a tag, with a backbone; the third is declined, the fourth is open.
"""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from notebook_runs import run_notebook
from round_steps import go_back

from examples.workspace import PROJECT, clone_project, name_author
from helpers.pipeline.paths import MODEL
from helpers.problems import Problem
from helpers.round.state import DECLINED
from helpers.workspace import DECISION, Workspace
from helpers.workspace.stages import dvc_status

PROJECTS = sorted(bundle.parent for bundle in Path(__file__).parent.glob("*/project.bundle"))
ANYWAY = ["-r", "publish_anyway", "a test"]


@pytest.fixture(params=PROJECTS, ids=lambda folder: folder.name)
def upgraded(request, tmp_path) -> Workspace:
    """The project with its round still open, after ``git pull`` of the present template."""
    template, project = Workspace(tmp_path / "template"), Workspace(tmp_path / "demo")
    if subprocess.run(["git", "cat-file", "-e", f"{request.param.name}^{{commit}}"], cwd=PROJECT).returncode:
        pytest.skip(f"the history of this clone does not reach {request.param.name}")
    clone_project(template.root)
    name_author(template)
    template.git("add", "--all")
    template.git("commit", "--quiet", "--allow-empty", "--message", "The present template")
    restore(request.param, project)
    project.git("remote", "add", "template", str(template.root))
    try:
        project.git("pull", "--quiet", "--no-rebase", "--no-edit", "template", "main")
    except (
        Problem
    ):  # both have changed a line of params.yaml: the commands of docs/upgrading.md, which fail for another file
        project.git("checkout", "--ours", "params.yaml")
        project.git("add", "params.yaml")
        project.git("commit", "--quiet", "--no-edit")
    return project


def restore(folder: Path, project: Workspace) -> None:
    """Unpack a project with the files of its open round, its remotes beside it."""
    Workspace(PROJECT).git("clone", "--quiet", "--no-checkout", str(PROJECT), str(project.root))
    project.git("remote", "remove", "origin")
    project.git("fetch", "--quiet", "--update-head-ok", "--force", str(folder / "project.bundle"), "+refs/*:refs/*")
    project.git("checkout", "--quiet", "--force", "main")
    name_author(project)
    remote = project.root.with_name("demo.git")
    project.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    project.git("remote", "add", "origin", f"../{remote.name}")
    project.git("push", "--quiet", "--set-upstream", "origin", "main", "model/v1")
    with tarfile.open(folder / "storage.tar.gz") as files:
        files.extractall(project.root / ".dvc/cache", filter="data")
    shutil.copytree(project.root / ".dvc/cache", project.root.with_name("demo-storage"))
    project.git("restore", "--source=refs/retrain/open", "--worktree", "--", "data", "dvc.lock", "evaluation")
    project.dvc("checkout", quiet=True)


def images_in(project: Workspace) -> set[int]:
    return {int(path.stem) for path in project.raw.glob("*/*.png")}


@pytest.mark.slow
def test_the_open_round_is_published_and_each_earlier_model_comes_back(upgraded):
    old = upgraded.read_at("model/v1", MODEL)
    result = run_notebook(upgraded, "retrain.ipynb", "-p", "export", "round-4.json", "-p", "publish", "True", *ANYWAY)
    assert result.returncode == 0, result.stderr[-3000:]
    assert images_in(upgraded) == set(range(80))
    assert upgraded.git("status", "--porcelain", "--", "data", "evaluation", "dvc.lock") == ""
    assert upgraded.git("rev-parse", "HEAD") == upgraded.git("rev-parse", "origin/main")
    assert "  epochs: 2 " in (upgraded.root / "params.yaml").read_text()
    decision = json.loads((upgraded.root / DECISION).read_text())
    assert decision["replaces"].startswith("model 0611d8ac7a35 of")
    go_back(upgraded, "model/v1")
    assert (upgraded.root / MODEL).read_bytes() == old
    assert images_in(upgraded) == set(range(56))


@pytest.mark.slow
def test_the_open_round_is_declined_and_comes_back(upgraded):
    result = run_notebook(upgraded, "retrain.ipynb", "-p", "decline", "True")
    assert result.returncode == 0, result.stderr[-3000:]
    assert images_in(upgraded) == set(range(64))
    assert upgraded.git("status", "--porcelain") == ""
    assert dvc_status(upgraded, "data/raw.dvc", "data/labels.csv.dvc") == []
    go_back(upgraded, DECLINED)
    assert images_in(upgraded) == set(range(80))
