"""Trainings that nobody watches: who may start them, how often they run, and what keeps others out."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from label_studio_server import Answer
from servers import ask_app, listens, wait_until
from trainings import BUTTON, ON, PASSWORD, RIGHT, command, training

from extras.backend import trigger as module
from extras.backend.app import make_app
from extras.backend.run import RECORD
from extras.backend.settings import BackendSettings
from extras.backend.trigger import Trigger, count_known, notebook_command
from extras.label_studio.pull import export_name
from helpers.workspace import EXTRA, Workspace

pytest_plugins = ["served", "connected"]  # their fixtures

ANNOTATED = {"action": "ANNOTATION_CREATED", "project": {"id": 7, "total_annotations_number": 10**6}}
WAIT = command("""
print(os.environ, sys.argv)
pathlib.Path("began").touch()
while not pathlib.Path("end").exists():
    time.sleep(0.05)
""")
NOTEBOOK = json.dumps(  # of a cell that takes its time
    {
        "cells": [{"cell_type": "code", "source": "import time; time.sleep(5)", "metadata": {}, "outputs": []}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
)


def runs(root: Path) -> list[Path]:
    """The log of each run."""
    return sorted((root / "runs").glob("*.log"))


@pytest.mark.parametrize(
    ("settings", "request_options", "status"),
    [
        ({}, {"json": BUTTON}, 403),
        (ON | {"retrain_project": 0}, {"json": BUTTON, "auth": RIGHT}, 403),
        (ON | {"label_studio_url": ""}, {"json": BUTTON, "auth": RIGHT}, 403),
        (ON | {"backend_password": ""}, {"json": BUTTON}, 403),
        (ON | {"backend_password": ""}, {"json": BUTTON, "auth": httpx2.BasicAuth("label-studio", "")}, 403),
        (ON, {"json": BUTTON}, 401),
        (ON, {"json": BUTTON, "auth": httpx2.BasicAuth("label-studio", "guess")}, 401),
        (ON, {"json": BUTTON | {"project": {"id": 8}}, "auth": RIGHT}, 403),
        (ON, {"json": {"action": "START_TRAINING"}, "auth": RIGHT}, 403),
        # What a page of another site can make a browser send that has the password stored.
        (ON, {"content": json.dumps(BUTTON), "headers": {"Content-Type": "text/plain"}, "auth": RIGHT}, 422),
        (ON | {"retrain_after": 1}, {"json": ANNOTATED}, 200),
        ({}, {"json": ANNOTATED}, 200),
    ],
)
def test_a_stranger_starts_nothing(place, settings, request_options, status):
    chosen = BackendSettings(**settings)
    app = make_app(place, chosen, Trigger(place, chosen) if chosen.retrain_project else None)
    answer = ask_app(app, "POST", "/webhook", **request_options)
    assert answer.status_code == status
    assert answer.json() == {} or len(answer.json()["detail"]) > 20
    assert runs(place) == []


def test_a_count_in_a_message_is_not_believed(place, serve_trainings, caplog):
    backend = serve_trainings(place, command("pass"), **ON | {"retrain_after": 1})
    assert backend.post("/webhook", json=ANNOTATED).status_code == 200
    wait_until(lambda: "No training is started" in caplog.text)
    assert runs(place) == []


def test_the_button_starts_one_training_in_the_background_without_the_backends_password(place, serve_trainings):
    backend = serve_trainings(place, WAIT, **ON)
    assert training(backend) == {"state": "idle", "run": None}
    answers = [backend.post("/webhook", json=BUTTON, auth=RIGHT).json() for _ in range(3)]
    assert answers == [{"status": "started"}, {"status": "already running"}, {"status": "already running"}]
    shown = training(backend)
    assert shown["state"] == "running"
    assert set(shown["run"]) == {"started", "report", "project", "annotations"}
    (place / "end").touch()
    wait_until(lambda: training(backend)["state"] == "idle")
    ended = training(backend)["run"]
    assert ended == shown["run"] | {"verdict": "", "ended": ended["ended"], "exit_code": 0}
    (log,) = runs(place)
    assert "PYTHONPATH" in log.read_text()
    assert PASSWORD not in log.read_text()
    assert "BACKEND_PASSWORD" not in log.read_text()


@pytest.mark.slow
def test_a_training_outlives_its_starter_and_keeps_others_out_until_its_last_process_ends(place, run):
    code = "pathlib.Path('ids').write_text(f'{os.getpid()} {os.getppid()}'); time.sleep(100)"
    start = f"""
from pathlib import Path
from extras.backend.settings import BackendSettings
from extras.backend.trigger import Trigger
assert Trigger(Path.cwd(), BackendSettings(), {command(code)!r}).start()
"""
    assert run(sys.executable, "-c", start, cwd=place).returncode == 0
    wait_until(lambda: (place / "ids").exists() and (place / "ids").read_text())
    worker, watcher = map(int, (place / "ids").read_text().split())
    later = Trigger(place, BackendSettings(retrain_project=7), command("pass"))
    assert later.is_running()
    assert not later.start()
    os.kill(watcher, signal.SIGKILL)
    assert later.is_running()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not later.is_running())
    assert later.state()["state"].startswith("unfinished")
    assert "ended" not in later.state()["run"]
    assert later.start()
    wait_until(lambda: not later.is_running())
    assert later.state()["state"] == "idle"


@pytest.fixture
def project(pretended, monkeypatch) -> dict[str, int]:
    """The project in a Label Studio of which only the number of annotations matters; tests change it."""
    project = {"id": 7, "total_annotations_number": 0}
    pretended.answers["/api/projects/7/"] = lambda _: Answer(body=json.dumps(project).encode())
    monkeypatch.setattr(module, "PAUSE", 0.05)
    monkeypatch.setenv("LABEL_STUDIO_URL", pretended.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    monkeypatch.setenv("RETRAIN_PROJECT", "7")
    monkeypatch.setenv("RETRAIN_AFTER", "10")
    return project


@pytest.mark.slow
def test_enough_new_annotations_start_a_training_and_a_restart_does_not_forget_the_last_one(
    place, serve_trainings, project, pretended
):
    backend = serve_trainings(place, command("pass"))

    def look(backend: httpx2.Client) -> None:
        asked, before = len(pretended.requests), len(runs(place))
        assert backend.post("/webhook", json=ANNOTATED).status_code == 200
        wait_until(lambda: len(pretended.requests) >= asked + 3 or len(runs(place)) > before)  # to connect takes two

    def annotate(total: int, backend: httpx2.Client) -> int:
        """Let the project have so many annotations; gives how many trainings there are then."""
        project["total_annotations_number"] = total
        for _ in range(3):  # one may have begun before; when the third ends, what came of the second has happened
            look(backend)
        wait_until(lambda: training(backend)["state"] == "idle")
        return len(runs(place))

    assert annotate(9, backend) == 0
    assert annotate(10, backend) == 1
    assert annotate(19, backend) == 1
    restarted = serve_trainings(place, command("pass"))
    assert annotate(19, restarted) == 1
    assert annotate(20, restarted) == 2
    assert json.loads((place / "runs/last.json").read_text())["annotations"] == 20


def test_the_annotations_of_a_project_are_known_from_its_own_run_and_from_its_last_export_that_was_merged(place):
    workspace = Workspace(place)
    workspace.save(RECORD, {"project": 1, "annotations": 500})
    assert count_known(workspace, 1) == 500
    assert count_known(workspace, 16) == 0  # RETRAIN_PROJECT changed

    (place / EXTRA).mkdir()
    (place / "data").mkdir()
    lineage = "file,label,sha256,task,annotators,updated_at,export_sha256,by_model,project,queue,labels_sha256\n"
    for number, (day, answers) in enumerate({"2026-11-05": 3, "2026-11-07": 4, "2026-11-06": 9}.items()):
        project = 1 if answers == 9 else 16
        tasks = [{"data": {}, "annotations": [{"was_cancelled": skipped}]} for skipped in [True] + [False] * answers]
        labels_sha256 = f"{number}" * 64
        (place / EXTRA / export_name(project, labels_sha256)).write_text(json.dumps(tasks))
        lineage += f"a/{number}.png,a,{number},1,1,{day}T09:00:00.000000Z,ee,False,{project},,{labels_sha256}\n"
    workspace.lineage.write_text(lineage)
    assert count_known(workspace, 16) == 4  # merged by hand
    workspace.save(RECORD, {"project": 16, "annotations": 6})  # of a run that was declined
    assert count_known(workspace, 16) == 6
    assert count_known(workspace, 1) == 9
    for export in (place / EXTRA).iterdir():
        export.unlink()
    assert (count_known(workspace, 16), count_known(workspace, 1)) == (6, 0)


@pytest.mark.slow
def test_annotations_that_come_during_a_training_start_the_next_one(place, serve_trainings, project):
    backend = serve_trainings(place, WAIT)
    project["total_annotations_number"] = 10
    backend.post("/webhook", json=ANNOTATED)
    wait_until((place / "began").exists)
    project["total_annotations_number"] = 20
    backend.post("/webhook", json=ANNOTATED)
    time.sleep(1)
    assert len(runs(place)) == 1
    (place / "end").touch()
    wait_until(lambda: len(runs(place)) == 2)
    wait_until(lambda: training(backend)["state"] == "idle")


def test_of_two_processes_that_start_at_one_instant_one_trains_and_the_record_names_its_report(place):
    code = f"""
import time
from pathlib import Path
from extras.backend.settings import BackendSettings
from extras.backend.trigger import Trigger
trigger = Trigger(Path.cwd(), BackendSettings(retrain_project=7), {WAIT!r})
Path(f"ready-{{__import__('os').getpid()}}").touch()
while not Path("go").exists():
    pass
print(trigger.start())
"""
    starters = [subprocess.Popen([sys.executable, "-c", code], cwd=place, stdout=subprocess.PIPE) for _ in range(2)]
    wait_until(lambda: len(list(place.glob("ready-*"))) == 2)
    (place / "go").touch()
    assert sorted(starter.communicate()[0].strip() for starter in starters) == [b"False", b"True"]
    (log,) = runs(place)
    wait_until((place / "began").exists)
    (place / "end").touch()
    later = Trigger(place, BackendSettings(retrain_project=7))
    wait_until(lambda: not later.is_running())
    shown = later.state()["run"]
    assert shown["report"] == f"runs/{log.stem}.ipynb"
    assert shown["exit_code"] == 0


@pytest.mark.slow
def test_with_several_workers_the_button_starts_one_training(place, monkeypatch):
    for name, value in ON.items():
        monkeypatch.setenv(name.upper(), str(value))
    (place / "dvc.yaml").touch()
    (place / ".dvc").mkdir()
    (place / "data/raw").mkdir(parents=True)
    (place / "notebooks").mkdir()
    (place / "notebooks/retrain.ipynb").write_text(NOTEBOOK)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "extras.backend.app:make_backend"]
    with subprocess.Popen([*command, "--workers", "2", "--port", str(port)], cwd=place) as server:
        try:
            wait_until(lambda: listens(port))
            url = f"http://127.0.0.1:{port}/webhook"
            with ThreadPoolExecutor(8) as pool:
                presses = [pool.submit(httpx2.post, url, json=BUTTON, auth=RIGHT, timeout=60) for _ in range(8)]
            answers = [press.result().json()["status"] for press in presses]
        finally:
            server.terminate()
    assert sorted(answers) == ["already running"] * 7 + ["started"]
    assert len(runs(place)) == 1


def test_a_run_knows_the_field_that_names_scenes(tmp_path):
    settings = BackendSettings(label_studio_url="http://studio", retrain_project=3, retrain_scene_key="patient")
    command = Trigger(tmp_path, settings)._command
    assert command[command.index("scene_key") - 1 :][:3] == ["-r", "scene_key", "patient"]
    assert "scene_key" not in notebook_command("http://studio/projects/3")
