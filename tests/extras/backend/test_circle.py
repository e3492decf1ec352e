"""The whole circle with a real Label Studio: pictures go out pre-labelled, labels come back, a new model answers."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from backends import PROJECT, config, labels, retrieve_predictions, tasks_of
from label_studio_server import old_and_new
from notebook_runs import run_notebook
from pictures import table_of
from servers import serving, wait_until
from sklearn.datasets import load_digits

from extras.backend.app import make_app
from extras.backend.settings import BackendSettings
from extras.backend.trigger import Trigger
from extras.label_studio.client import Server, connect
from extras.label_studio.projects import list_projects
from helpers.pipeline.model import load_classifier
from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace

pytest_plugins = ["served", "connected"]  # their fixtures

TITLE, PASSWORD = "Digits of the circle", "s3cret"
PICTURES, LABELLED, SHARED, DISPUTED = 60, 50, 10, 3  # two people see some of the labelled ones, and dispute a few
WRONG = 2  # of the labels at the end


@pytest.fixture
def workspace(sample, label_studio, monkeypatch) -> Workspace:
    """A sample with sixty pictures that nobody labelled, and with the settings of the server."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.personal_access_token or label_studio.key)
    (sample.root / "extra-data/annotations.json").unlink()
    for picture in sorted((sample.root / "extra-data").glob("*.png"))[PICTURES:]:
        picture.unlink()
    return sample


def truth(task: dict[str, Any]) -> str:
    """What the picture of a task shows: its name has the number of the digit in scikit-learn's set."""
    return str(load_digits().target[int(picture_of(task)[-8:-4])])


def run_whole(workspace: Workspace, name: str, *options: str) -> None:
    result = run_notebook(workspace, name, *options)
    assert result.returncode == 0, result.stderr[-3000:]


def connect_model(server: Server, project: int, url: str) -> int:
    """Connect a backend that has a password; gives the number of the connection."""
    connection = {"project": project, "url": url, "title": "model", "auth_method": "BASIC_AUTH"}
    connection |= {"basic_auth_user": "label-studio", "basic_auth_pass": PASSWORD}
    return int(server.ask("POST", "/api/ml", json=connection)["id"])


def picture_of(task: dict[str, Any]) -> str:
    return str(task["data"]["image"].rpartition("/")[2].partition("-")[2])


def is_blind(task: dict[str, Any]) -> bool:
    return bool(task["data"]["blind"])


def annotate(server: Server, task: dict[str, Any], label: str, person: int) -> None:
    region = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    answer = {"result": [region], "lead_time": 2.5, "completed_by": person}
    server.ask("POST", f"/api/tasks/{task['id']}/annotations/", json=answer)


@old_and_new
@pytest.mark.label_studio
def test_labels_come_back_as_a_model_that_prelabels_the_next_pictures(workspace):
    server = connect(BackendSettings.read(workspace.root))
    old_model = (workspace.root / MODEL).read_bytes()

    run_whole(workspace, "label.ipynb", "-p", "title", TITLE, "-p", "send", "True")
    (project,) = (number for number, title in list_projects(server).items() if title == TITLE)
    tasks = tasks_of(server, project)
    assert len(tasks) == PICTURES
    assert 0 < sum(map(is_blind, tasks)) < PICTURES / 2
    for task in tasks:
        assert [0 <= prediction["score"] <= 1 for prediction in task["predictions"]] == [True] * (not is_blind(task))

    people = [
        server.ask("POST", "/api/users/", json={"email": f"{name}@example.com", "username": name, "password": name * 3})
        for name in ("ann", "bob")
    ]
    for number, task in enumerate(tasks[:LABELLED]):
        label = truth(task)
        wrong = str((int(label) + 5) % 10)
        annotate(server, task, wrong if number >= LABELLED - WRONG else label, people[0]["id"])
        if number < SHARED:
            annotate(server, task, str((int(label) + 1) % 10) if number < DISPUTED else label, people[1]["id"])

    with serving(make_app(workspace.root, BackendSettings(backend_password=PASSWORD))) as url:
        backend = connect_model(server, project, url)
        old_version = served_version(server, backend)

        export = f"{server.url}/projects/{project}"
        options = ["-r", "export", export, "-p", "publish", "True", "-r", "publish_anyway", "sixty are few"]
        run_whole(workspace, "retrain.ipynb", *options, "-p", "review", "True", "-p", "doubts", "10")
        tabs = server.ask("GET", "/api/dm/views/", params={"project": project})
        (tab,) = (tab["id"] for tab in tabs if tab["data"]["title"] == "Second look")
        doubted = {task["id"] for task in server.ask("GET", "/api/tasks", params={"view": tab})["tasks"]}
        assert doubted >= {task["id"] for task in tasks[LABELLED - WRONG : LABELLED]}
        assert len(doubted) == 10
        decision = json.loads((workspace.root / "evaluation/decision.json").read_text())
        assert any(note.startswith("People agreed with the model") for note in decision["notes"])
        merged = {path.name: path.parent.name for path in (workspace.root / "data/raw").glob("*/*.png")}
        assert all(merged.get(picture_of(task)) == truth(task) for task in tasks[DISPUTED : LABELLED - WRONG])
        assert not any(picture_of(task) in merged for task in [*tasks[:DISPUTED], *tasks[LABELLED:]])
        assert (
            f"images {LABELLED - DISPUTED} added, 0 moved, {PICTURES - LABELLED + DISPUTED} left out"
            in workspace.git("log", "-1", "--format=%s", "origin/main")
        )
        assert (workspace.root / MODEL).read_bytes() != old_model

        new_version = served_version(server, backend)
        assert new_version != old_version
        for task in retrieve_predictions(server, project)[LABELLED:]:
            (prediction,) = (each for each in task["predictions"] if each["model_version"] == new_version)
            assert bool(prediction["result"]) is not is_blind(task)


def served_version(server: Server, backend: int) -> str:
    return str(server.ask("GET", f"/api/ml/{backend}/versions")["versions"][0])


@old_and_new
@pytest.mark.label_studio
def test_label_studio_connects_shows_the_predictions_and_starts_trainings(
    root, names, label_studio, server, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    for name in names[8:]:
        (root / "extra-data" / name).unlink()
    model, extra = load_classifier((root / MODEL).read_bytes()), root / "extra-data"
    expected = model.predict(root, extra, table_of(extra, names[:8])).idxmax(axis=1)
    project = server.ask("POST", "/api/projects/", json={"title": "Digits", "label_config": config()})["id"]
    files = {name: (name, (root / "extra-data" / name).read_bytes()) for name in names[:8]}
    server.ask("POST", f"/api/projects/{project}/import", files=files)
    settings = BackendSettings(
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.personal_access_token or label_studio.key,
        backend_password=PASSWORD,
        backend_images="none",  # so they come from the server
        retrain_project=project,
        retrain_after=2,
    )
    trigger = Trigger(root, settings, [sys.executable, "-c", "pass"])
    with serving(make_app(root, settings, trigger)) as url:
        number = connect_model(server, project, url)
        tasks = retrieve_predictions(server, project)
        shown = {task["file_upload"].partition("-")[2]: labels(task["predictions"]) for task in tasks}
        assert shown == {name: [label] for name, label in expected.items()}
        version = server.ask("GET", f"/api/ml/{number}")["model_version"]
        assert {prediction["model_version"] for task in tasks for prediction in task["predictions"]} == {version}
        assert server.ask("GET", f"/api/ml/{number}/versions") == {"versions": [version]}

        server.ask("POST", f"/api/ml/{number}/train")
        wait_for_runs(root, 1)
        for task in tasks[:2]:
            accepted = {"result": task["predictions"][0]["result"]}
            server.ask("POST", f"/api/tasks/{task['id']}/annotations", json=accepted)
        wait_for_runs(root, 2)


def wait_for_runs(root: Path, count: int) -> None:
    """Wait until so many runs were started and the last of them has ended."""
    record = root / "runs/last.json"
    wait_until(lambda: len(list(root.glob("runs/*.log"))) >= count and "ended" in json.loads(record.read_text()))
