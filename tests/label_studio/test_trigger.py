"""Trainings that nobody watches: who may start them, how often they run, and what keeps others out."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest
from label_studio_server import Answer
from servers import ask_app, wait_until
from trainings import BUTTON, ON, PASSWORD, RIGHT, command, training

from helpers.label_studio import trigger as module
from helpers.label_studio.backend import make_app
from helpers.label_studio.settings import Settings
from helpers.label_studio.trigger import Trigger

pytest_plugins = ["served"]  # its fixtures

ANNOTATED = {"action": "ANNOTATION_CREATED", "project": {"id": 7, "total_annotations_number": 10**6}}
WAIT = command("""
print(os.environ, sys.argv)
pathlib.Path("began").touch()
while not pathlib.Path("end").exists():
    time.sleep(0.05)
""")


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
        (ON | {"backend_password": ""}, {"json": BUTTON, "auth": httpx.BasicAuth("label-studio", "")}, 403),
        (ON, {"json": BUTTON}, 401),
        (ON, {"json": BUTTON, "auth": httpx.BasicAuth("label-studio", "guess")}, 401),
        (ON, {"json": BUTTON | {"project": {"id": 8}}, "auth": RIGHT}, 403),
        (ON, {"json": {"action": "START_TRAINING"}, "auth": RIGHT}, 403),
        # What a page of another site can make a browser send that has the password stored.
        (ON, {"content": json.dumps(BUTTON), "headers": {"Content-Type": "text/plain"}, "auth": RIGHT}, 422),
        (ON | {"retrain_after": 1}, {"json": ANNOTATED}, 200),
        ({}, {"json": ANNOTATED}, 200),
    ],
)
def test_a_stranger_starts_nothing(place, settings, request_options, status):
    answer = ask_app(make_app(place, Settings(**settings)), "POST", "/webhook", **request_options)
    assert answer.status_code == status
    assert answer.json() == {} or len(answer.json()["detail"]) > 20
    assert runs(place) == []


def test_a_count_in_a_message_is_not_believed(place, serve_trainings, caplog):
    backend = serve_trainings(place, command("pass"), **ON | {"retrain_after": 1})
    assert backend.post("/webhook", json=ANNOTATED).status_code == 200
    wait_until(lambda: "enough annotations to retrain is not known" in caplog.text)
    assert runs(place) == []


def test_the_button_starts_one_training_in_the_background_without_the_backends_password(place, serve_trainings):
    backend = serve_trainings(place, WAIT, **ON)
    assert training(backend) == {"state": "idle", "run": None}
    answers = [backend.post("/webhook", json=BUTTON, auth=RIGHT).json() for _ in range(3)]
    assert answers == [{"status": "started"}, {"status": "already running"}, {"status": "already running"}]
    shown = training(backend)
    assert shown["state"] == "running"
    assert set(shown["run"]) == {"started", "report", "annotations"}
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
from helpers.label_studio.settings import Settings
from helpers.label_studio.trigger import Trigger
assert Trigger(Path.cwd(), Settings(), {command(code)!r}).start()
"""
    assert run(sys.executable, "-c", start, cwd=place).returncode == 0
    wait_until(lambda: (place / "ids").exists() and (place / "ids").read_text())
    worker, watcher = map(int, (place / "ids").read_text().split())
    later = Trigger(place, Settings(retrain_project=7), command("pass"))
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

    def look(backend: httpx.Client) -> None:
        asked, before = len(pretended.requests), len(runs(place))
        assert backend.post("/webhook", json=ANNOTATED).status_code == 200
        wait_until(lambda: len(pretended.requests) >= asked + 3 or len(runs(place)) > before)  # to connect takes two

    def annotate(total: int, backend: httpx.Client) -> int:
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
