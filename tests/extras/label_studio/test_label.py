"""The notebook that sends pictures to be labelled, under papermill and against a real Label Studio."""

import subprocess

import nbformat
import pytest
from notebook_runs import run_notebook

from extras.label_studio.client import connect
from extras.label_studio.projects import list_projects
from extras.label_studio.settings import Settings
from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace

pytest_plugins = ["connected"]  # its fixtures


@pytest.fixture
def server(label_studio, monkeypatch):
    """A connection; the notebook finds the same settings in its environment."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.personal_access_token)
    return connect(Settings())


def label(workspace: Workspace, *options: str) -> subprocess.CompletedProcess[str]:
    return run_notebook(workspace, "label.ipynb", *options, seconds=120)


def said(workspace: Workspace) -> str:
    """What the notebook printed."""
    notebook = nbformat.read(workspace.root / "out.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.label_studio
def test_sends_the_pictures_when_it_is_told_to(sample, server, label_studio):
    for picture in sorted((sample.root / "extra-data").glob("*.png"))[40:]:
        picture.unlink()
    (sample.root / MODEL).write_bytes(b"a candidate that nobody has accepted")

    looked = label(sample, "-p", "title", "Digits to label")

    assert looked.returncode == 0, looked.stderr
    assert "40 images will be put into the queue" in said(sample)
    assert "Digits to label" not in list_projects(server).values()

    sent = label(sample, "-p", "title", "Digits to label", "-p", "send", "True")

    assert sent.returncode == 0, sent.stderr
    (number,) = (number for number, title in list_projects(server).items() if title == "Digits to label")
    assert f"Label at {label_studio.url}/projects/{number}/data?tab=" in said(sample)
    about = server.ask("GET", f"/api/projects/{number}/")
    assert about["task_number"] == 40
    assert 30 <= about["total_predictions_number"] < 40  # a tenth is labelled blind
    assert label_studio.personal_access_token not in (sample.root / "out.ipynb").read_text()


@pytest.mark.slow
def test_says_which_settings_it_needs(sample, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_URL", "")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "")

    done = label(sample)

    assert done.returncode != 0
    assert "LABEL_STUDIO_URL is not set" in done.stderr
    assert "LABEL_STUDIO_API_KEY is not set" in done.stderr
