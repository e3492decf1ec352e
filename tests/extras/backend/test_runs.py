"""How trainings that nobody watches end: declined, published or unfinished, and with a reason."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from backends import PROJECT
from round_steps import merge_something, publish, tree_of
from servers import wait_until
from trainings import BUTTON, ON, RIGHT, command, training

from extras.backend.run import RECORD, RUNS, run
from extras.backend.settings import BackendSettings
from extras.backend.trigger import Trigger, notebook_command
from helpers.pipeline.paths import MODEL
from helpers.round.unattended import STARTED_BY
from helpers.workspace import DECISION, Workspace

pytest_plugins = ["served"]  # its fixtures

DECIDE = "pathlib.Path('evaluation/decision.json').write_text({!r}); sys.exit(1)"


def finish(root: Path, code: str) -> dict[str, Any]:
    """Let a run of some code end, without a server; gives what /versions would tell."""
    (root / RUNS).mkdir(exist_ok=True)
    (root / RECORD).write_text(json.dumps({"report": f"{RUNS}/report.ipynb", "project": 7}))
    run(Workspace(root), [*command(code), f"{RUNS}/report.ipynb"])
    return Trigger(root, BackendSettings(**ON)).state()


@pytest.mark.parametrize(
    ("name", "message", "shown"),
    [("Problem", "There is no export.\n  - here", []), ("SystemExit", "", ["There is no export."])],
)
def test_the_verdict_names_the_errors_of_the_report(place, name, message, shown):
    error = {"output_type": "error", "ename": name, "evalue": message, "traceback": shown}
    cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [{"output_type": "stream"}, error]}]
    report = json.dumps({"cells": cells})
    run = finish(place, f"pathlib.Path(sys.argv[-1]).write_text({report!r}); sys.exit(1)")["run"]
    assert run["verdict"] == "There is no export."
    assert run["exit_code"] == 1


def test_only_a_model_that_is_not_accepted_is_declined(tiny, monkeypatch):
    monkeypatch.setenv(STARTED_BY, "project 7")
    (tiny.root / DECISION).write_text('{"accepted": false, "sentence": "Of an earlier run."}')
    tiny.git("add", DECISION)
    tiny.git("commit", "--quiet", "--message", "A round of a person")
    tiny.git("push", "--quiet")
    merge_something(tiny)
    merged = tiny.raw / "dark/new.png"
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
def test_a_round_that_a_person_has_committed_is_not_declined_by_a_failed_run(tiny):
    tiny.git("branch", "--unset-upstream")
    merge_something(tiny)
    publish(tiny)
    tiny.save(DECISION, tiny.load(DECISION) | {"accepted": False})
    tiny.git("commit", "--quiet", "--amend", "--no-edit", "--all")
    head, decision = tiny.commit_of("HEAD"), (tiny.root / DECISION).read_text()
    finish(tiny.root, DECIDE.format(decision))
    assert tiny.commit_of("HEAD") == head


@pytest.mark.slow
def test_an_accepted_model_that_could_not_be_pushed_is_published_by_the_next_start(sample, serve_trainings):
    backend = serve_trainings(sample.root, notebook_command("extra-data/annotations.json"), **ON)
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
    with_candidate = serve_trainings(sample.root, command("pass"), **ON)  # restarted while the round is open
    assert backend.post("/setup", auth=RIGHT).json() == with_candidate.post("/setup", auth=RIGHT).json() == before

    (sample.root.parent / storage).unlink()
    (sample.root.parent / "unplugged").rename(sample.root.parent / storage)
    assert start()["state"] == "idle"
    assert sample.commit_of("HEAD") != head
    assert (sample.root / MODEL).stat().st_mtime_ns == trained
    assert backend.post("/setup", auth=RIGHT).json() != before


@pytest.mark.slow
@pytest.mark.parametrize("accepted", [True, False])
def test_the_model_that_is_served_changes_when_the_new_one_is_accepted_and_only_then(sample, serve_trainings, accepted):
    if not accepted:  # one epoch is too short
        params = sample.root / "params.yaml"
        params.write_text(params.read_text().replace("epochs: 8", "epochs: 1"))
        sample.git("commit", "--quiet", "--all", "--message", "Train for one epoch")
    backend = serve_trainings(sample.root, notebook_command("extra-data/annotations.json"), **ON)
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
def test_a_notebook_that_cannot_run_leaves_its_reason(sample, serve_trainings):
    backend = serve_trainings(sample.root, notebook_command("lost.json"), **ON)
    backend.post("/webhook", json=BUTTON, auth=RIGHT)
    wait_until(lambda: training(backend)["state"] != "running")
    record = training(backend)["run"]
    assert record["exit_code"] == 1
    assert record["verdict"] == "There is no 'lost.json'."
    assert sample.git("status", "--porcelain", "--", "data", "evaluation", "dvc.lock") == ""


def test_the_open_round_of_a_person_stays_as_it_is_whoever_presses_the_button(tiny, serve_trainings):
    merge_something(tiny)
    before, head = tree_of(tiny), tiny.commit_of("HEAD")
    backend = serve_trainings(tiny.root, command(DECIDE.format('{"accepted": false, "sentence": "Worse."}')), **ON)
    answer = backend.post("/webhook", json=BUTTON, auth=RIGHT).json()
    assert answer["status"] == "refused"
    assert answer["reason"].startswith("A round is open since ")
    assert training(backend) == {"state": "refused", "reason": answer["reason"], "run": None}
    assert tree_of(tiny) == before
    assert tiny.commit_of("HEAD") == head


@pytest.mark.slow
def test_a_round_that_a_person_begins_during_a_training_is_not_declined_with_it(tiny):
    begin = (
        f"sys.path.insert(0, {str(PROJECT / 'tests')!r})\nimport round_steps\nfrom helpers.workspace import Workspace\n"
        "round_steps.merge_something(Workspace(pathlib.Path.cwd()))\n"
    )
    finish(tiny.root, begin + DECIDE.format('{"accepted": false, "sentence": "Worse."}'))
    assert (tiny.raw / "dark/new.png").exists()
