"""Trainings that nobody watches: who may start them, how often they run, what is left of them."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from label_studio_server import Answer
from servers import ask_app, serving, wait_until

from helpers.label_studio import trigger as module
from helpers.label_studio.backend import make_app
from helpers.label_studio.settings import Settings
from helpers.label_studio.trigger import RECORD, RUNS, Trigger, notebook_command
from helpers.pipeline.paths import MODEL
from helpers.round.publishing import remember_workspace
from helpers.workspace import DECISION, Workspace

PROJECT = Path(__file__).parents[2]
PASSWORD = "s3cret-of-the-backend"
RIGHT = httpx.BasicAuth("label-studio", PASSWORD)
ON: dict[str, Any] = {"backend_password": PASSWORD, "retrain_project": 7, "label_studio_url": "http://127.0.0.1:9"}
BUTTON = {"action": "START_TRAINING", "project": {"id": 7}}
ANNOTATED = {"action": "ANNOTATION_CREATED", "project": {"id": 7, "total_annotations_number": 10**6}}


def command(code: str) -> list[str]:
    """Stands in for the notebook."""
    return [sys.executable, "-c", f"import os, pathlib, sys, time\n{code}"]


WAIT = command("""
print(os.environ, sys.argv)
pathlib.Path("began").touch()
while not pathlib.Path("end").exists():
    time.sleep(0.05)
""")


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A folder in place of a workspace: the stand-ins for the notebook need none."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("BACKEND_PASSWORD", PASSWORD)
    return tmp_path


@pytest.fixture
def serve() -> Iterator[Callable[..., httpx.Client]]:
    """Serve a backend whose trainings run a command; gives a client."""
    with ExitStack() as stack:

        def serve(root: Path, command: list[str], **settings: Any) -> httpx.Client:
            chosen = Settings(**settings)
            url = stack.enter_context(serving(make_app(root, chosen, Trigger(root, chosen, command))))
            return stack.enter_context(httpx.Client(base_url=url, timeout=30))

        yield serve


def training(backend: httpx.Client) -> dict[str, Any]:
    """What /versions tells of trainings."""
    return backend.get("/versions", auth=RIGHT).json()["training"]


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
def test_a_stranger_starts_nothing(root, settings, request_options, status):
    answer = ask_app(make_app(root, Settings(**settings)), "POST", "/webhook", **request_options)
    assert answer.status_code == status
    assert answer.json() == {} or len(answer.json()["detail"]) > 20
    assert runs(root) == []


def test_a_count_in_a_message_is_not_believed(root, serve, caplog):
    backend = serve(root, command("pass"), **ON | {"retrain_after": 1})
    assert backend.post("/webhook", json=ANNOTATED).status_code == 200
    wait_until(lambda: "enough annotations to retrain is not known" in caplog.text)
    assert runs(root) == []


def test_the_button_starts_one_training_in_the_background_without_the_backends_password(root, serve):
    backend = serve(root, WAIT, **ON)
    assert training(backend) == {"state": "idle", "run": None}
    answers = [backend.post("/webhook", json=BUTTON, auth=RIGHT).json() for _ in range(3)]
    assert answers == [{"status": "started"}, {"status": "already running"}, {"status": "already running"}]
    shown = training(backend)
    assert shown["state"] == "running"
    assert set(shown["run"]) == {"started", "report", "annotations"}
    (root / "end").touch()
    wait_until(lambda: training(backend)["state"] == "idle")
    ended = training(backend)["run"]
    assert ended == shown["run"] | {"verdict": "", "ended": ended["ended"], "exit_code": 0}
    (log,) = runs(root)
    assert "PYTHONPATH" in log.read_text()
    assert PASSWORD not in log.read_text()
    assert "BACKEND_PASSWORD" not in log.read_text()


def finish(root: Path, code: str) -> dict[str, Any]:
    """Let a run of some code end, without a server; gives what /versions would tell."""
    (root / RUNS).mkdir(exist_ok=True)
    (root / RECORD).write_text(json.dumps({"report": f"{RUNS}/report.ipynb"}))
    module.run(Workspace(root), [*command(code), f"{RUNS}/report.ipynb"])
    return Trigger(root, Settings(**ON)).state()


@pytest.mark.parametrize(
    ("name", "message", "shown"),
    [("Problem", "There is no export.\n  - here", []), ("SystemExit", "", ["There is no export."])],
)
def test_the_verdict_names_the_errors_of_the_report(root, name, message, shown):
    error = {"output_type": "error", "ename": name, "evalue": message, "traceback": shown}
    cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [{"output_type": "stream"}, error]}]
    report = json.dumps({"cells": cells})
    run = finish(root, f"pathlib.Path(sys.argv[-1]).write_text({report!r}); sys.exit(1)")["run"]
    assert run["verdict"] == "There is no export."
    assert run["exit_code"] == 1


@pytest.mark.slow
def test_a_training_outlives_its_starter_and_keeps_others_out_until_its_last_process_ends(root, run):
    code = "pathlib.Path('ids').write_text(f'{os.getpid()} {os.getppid()}'); time.sleep(100)"
    start = f"""
from pathlib import Path
from helpers.label_studio.settings import Settings
from helpers.label_studio.trigger import Trigger
assert Trigger(Path.cwd(), Settings(), {command(code)!r}).start()
"""
    assert run(sys.executable, "-c", start, cwd=root).returncode == 0
    wait_until(lambda: (root / "ids").exists() and (root / "ids").read_text())
    worker, watcher = map(int, (root / "ids").read_text().split())
    later = Trigger(root, Settings(retrain_project=7), command("pass"))
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
    root, serve, project, pretended
):
    backend = serve(root, command("pass"))

    def look(backend: httpx.Client) -> None:
        asked, before = len(pretended.requests), len(runs(root))
        assert backend.post("/webhook", json=ANNOTATED).status_code == 200
        wait_until(lambda: len(pretended.requests) >= asked + 3 or len(runs(root)) > before)  # to connect takes two

    def annotate(total: int, backend: httpx.Client) -> int:
        """Let the project have so many annotations; gives how many trainings there are then."""
        project["total_annotations_number"] = total
        for _ in range(3):  # one may have begun before; when the third ends, what came of the second has happened
            look(backend)
        wait_until(lambda: training(backend)["state"] == "idle")
        return len(runs(root))

    assert annotate(9, backend) == 0
    assert annotate(10, backend) == 1
    assert annotate(19, backend) == 1
    restarted = serve(root, command("pass"))
    assert annotate(19, restarted) == 1
    assert annotate(20, restarted) == 2
    assert json.loads((root / "runs/last.json").read_text())["annotations"] == 20


@pytest.mark.slow
def test_annotations_that_come_during_a_training_start_the_next_one(root, serve, project):
    backend = serve(root, WAIT)
    project["total_annotations_number"] = 10
    backend.post("/webhook", json=ANNOTATED)
    wait_until((root / "began").exists)
    project["total_annotations_number"] = 20
    backend.post("/webhook", json=ANNOTATED)
    time.sleep(1)
    assert len(runs(root)) == 1
    (root / "end").touch()
    wait_until(lambda: len(runs(root)) == 2)
    wait_until(lambda: training(backend)["state"] == "idle")


DECIDE = "pathlib.Path('evaluation/decision.json').write_text({!r}); sys.exit(1)"


def test_only_a_model_that_is_not_accepted_is_declined(tiny):
    (tiny.root / DECISION).write_text('{"accepted": false, "sentence": "Of an earlier run."}')
    os.utime(tiny.root / DECISION, (0, 0))
    remember_workspace(tiny)
    merged = tiny.raw / "dark/new.png"
    merged.write_bytes(b"new")
    kept = {
        "failed": "sys.exit(1)",
        "killed": "os.kill(os.getpid(), 9)",
        "accepted, not pushed": DECIDE.format('{"accepted": true, "sentence": "Better."}'),
        "cut short": DECIDE.format('{"accepted"'),
    }
    for ending, code in kept.items():
        assert finish(tiny.root, code)["state"].startswith("unfinished"), ending
        assert merged.exists(), ending
    assert finish(tiny.root, DECIDE.format('{"accepted": false, "sentence": "Worse."}'))["state"] == "idle"
    assert not merged.exists()


@pytest.mark.slow
def test_an_accepted_model_that_could_not_be_pushed_is_published_by_the_next_start(sample, serve):
    backend = serve(sample.root, notebook_command("extra-data/annotations.json"), **ON)
    before, head, storage = backend.post("/setup", auth=RIGHT).json(), sample.commit_of("HEAD"), "demo-storage"

    def start() -> dict[str, Any]:
        backend.post("/webhook", json=BUTTON, auth=RIGHT)
        wait_until(lambda: training(backend)["state"] != "running", 300)
        return training(backend)

    (sample.root.parent / storage).rename(sample.root.parent / "unplugged")
    (sample.root.parent / storage).touch()
    failed = start()
    assert failed["state"].startswith("unfinished")
    assert "dvc push" in failed["run"]["verdict"]
    assert sample.commit_of("HEAD") == head
    trained = (sample.root / MODEL).stat().st_mtime_ns
    with_candidate = serve(sample.root, command("pass"), **ON)  # restarted while the round is open
    assert backend.post("/setup", auth=RIGHT).json() == with_candidate.post("/setup", auth=RIGHT).json() == before

    (sample.root.parent / storage).unlink()
    (sample.root.parent / "unplugged").rename(sample.root.parent / storage)
    assert start()["state"] == "idle"
    assert sample.commit_of("HEAD") != head
    assert (sample.root / MODEL).stat().st_mtime_ns == trained
    assert backend.post("/setup", auth=RIGHT).json() != before


@pytest.mark.slow
@pytest.mark.parametrize("accepted", [True, False])
def test_the_model_that_is_served_changes_when_the_new_one_is_accepted_and_only_then(sample, serve, accepted):
    if not accepted:  # one epoch is too short
        params = sample.root / "params.yaml"
        params.write_text(params.read_text().replace("epochs: 8", "epochs: 1"))
    backend = serve(sample.root, notebook_command("extra-data/annotations.json"), **ON)
    before, model = backend.post("/setup", auth=RIGHT).json(), (sample.root / MODEL).read_bytes()
    head = sample.commit_of("HEAD")
    backend.post("/webhook", json=BUTTON, auth=RIGHT)
    while training(backend)["state"] == "running":
        assert backend.post("/setup", auth=RIGHT).json() == before or sample.commit_of("HEAD") != head
        time.sleep(0.1)
    record = training(backend)["run"]
    log = (sample.root / record["report"]).with_suffix(".log").read_text()
    assert (record["exit_code"] == 0) == accepted, log
    assert record["verdict"].startswith("Better: " if accepted else "Worse: ")
    assert ("not accepted" in record["verdict"]) == (not accepted)
    assert (sample.root / record["report"]).is_file()
    assert (backend.post("/setup", auth=RIGHT).json() != before) == accepted
    assert ((sample.root / MODEL).read_bytes() != model) == accepted
    assert sample.git("log", "-1", "--format=%s").startswith("Retrain") == accepted
    assert sample.git("status", "--porcelain", "--", "data", "evaluation", "dvc.lock") == ""


@pytest.mark.slow
def test_a_notebook_that_cannot_run_leaves_its_reason(sample, serve):
    backend = serve(sample.root, notebook_command("lost.json"), **ON)
    backend.post("/webhook", json=BUTTON, auth=RIGHT)
    wait_until(lambda: training(backend)["state"] != "running")
    record = training(backend)["run"]
    assert record["exit_code"] == 1
    assert record["verdict"] == "There is no 'lost.json'."
    assert sample.git("status", "--porcelain", "--", "data", "evaluation", "dvc.lock") == ""
