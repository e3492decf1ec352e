"""Start the notebook without a person: once at a time, in a process of its own, with its report kept in ``runs/``.

    python -m extras.backend.trigger COMMAND…

is that process: it runs COMMAND and declines the round if its model is not accepted. Who starts it takes a lock, which
the process and COMMAND inherit: the lock ends with the run, however that ends, and every other process of the backend
sees that one is going. A round that ended otherwise than published or declined is resumed by the next start.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from threading import Event, Thread
from typing import Any

import orjson

from extras.backend.settings import BackendSettings
from extras.label_studio.client import connect
from extras.label_studio.pull import export_name
from helpers.comparison.record import Decision
from helpers.merge.lineage import read_lineage
from helpers.problems import Problem
from helpers.round.declining import decline_round
from helpers.round.record import read_decision
from helpers.round.unattended import STARTED_BY, require_own_work
from helpers.workspace import DECISION, EXTRA, Workspace

RUNS, LOCK, RECORD = "runs", "runs/.lock", "runs/last.json"
PAUSE = 5  # seconds between two questions to Label Studio
PATIENCE = 0.3  # seconds; who only looks whether a run is going holds the lock for an instant

logger = logging.getLogger(__name__)


class Trigger:
    """Starts the notebook for the project of the settings, or another `command`; the report's path is added to it."""

    def __init__(self, root: Path, settings: BackendSettings, command: Sequence[str] = ()) -> None:
        self._workspace, self._settings = Workspace(root), settings
        project = f"{settings.label_studio_url.rstrip('/')}/projects/{settings.retrain_project}"
        self._command, self._starter = command or notebook_command(project), _starter(settings.retrain_project)
        self._process: subprocess.Popen[bytes] | None = None
        self._noticed = Event()

    def start(self) -> bool:
        """Start a run in the background, unless one is going; tells whether it did.

        A start that is refused is not made up for: when the run ends, new annotations are counted. A `Problem` tells
        that somebody's work is in the way.
        """
        lock = _lock(self._workspace.root, LOCK_EX, PATIENCE)
        if lock is None:
            return False
        try:
            require_own_work(self._workspace, self._starter)
            project, now = self._settings.retrain_project, datetime.now(UTC)
            report = f"{RUNS}/{now:%Y-%m-%dT%H-%M-%S-%f}Z.ipynb"
            record = {"report": report, "started": now.isoformat(timespec="seconds"), "project": project}
            self._workspace.save(RECORD, record | {"annotations": _recorded_annotations(self._workspace, project)})
            environment = {name: value for name, value in os.environ.items() if name.upper() != "BACKEND_PASSWORD"}
            with (self._workspace.root / report).with_suffix(".log").open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "extras.backend.trigger", *self._command, report],
                    cwd=self._workspace.root,
                    env=environment | {STARTED_BY: self._starter},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[lock],
                )
        finally:
            os.close(lock)
        return True

    def is_running(self) -> bool:
        """Whether a run is going, whoever started it."""
        lock = _lock(self._workspace.root, LOCK_SH)
        if lock is not None:
            os.close(lock)
        return lock is None

    def state(self) -> dict[str, Any]:
        """Whether a run is going, or was not finished, and the record of the last one that was started.

        Where the next start would be refused, it is also told why.
        """
        if not self._settings.retrain_project:
            return {"state": "off"}
        running, last = self.is_running(), self._workspace.load(RECORD)
        try:
            if not running:
                require_own_work(self._workspace, self._starter)
        except Problem as problem:
            return {"state": "refused", "reason": str(problem), "run": last or None}
        if running:
            state = "running"
        elif last and last.get("exit_code") != 0 and not last.get("declined"):  # failed, or killed
            state = "unfinished: the next start resumes it"
        else:
            state = "idle"
        return {"state": state, "run": last or None}

    def notice(self) -> None:
        """Look, in the background, whether there are enough new annotations for a run."""
        self._noticed.set()

    def watch(self) -> None:
        """Make `notice` work, if the settings say after how many annotations to start. Ends with the process."""
        if self._settings.retrain_project and self._settings.retrain_after:
            self.notice()  # of annotations that came while nobody watched
            Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self._noticed.wait():
            if not self.is_running():  # else the annotations are counted when the run has ended
                self._noticed.clear()
                try:
                    project = self._settings.retrain_project
                    now = count_annotations(self._settings, project)
                    if now - count_known(self._workspace, project) >= self._settings.retrain_after:
                        self.start()
                except Exception as error:  # the next annotation asks again
                    logger.warning("No training is started: %r", error)
            time.sleep(PAUSE)


def notebook_command(export: str) -> list[str]:
    """The command that retrains on an export and publishes an accepted model; it ends with the report's path."""
    parameters = ["-r", "export", export, "-p", "publish", "True", "-p", "require_acceptance", "True"]
    options = ["--stdout-file", "-", "--no-progress-bar", *parameters]
    return [sys.executable, "-m", "papermill", *options, "notebooks/retrain.ipynb"]


def count_annotations(settings: BackendSettings, project: int) -> int:
    """Ask Label Studio how many annotations a project has; raises as `connect` does, or if it is not there."""
    server = connect(settings)
    with closing(server.client):
        return int(server.ask("GET", f"/api/projects/{project}/")["total_annotations_number"])


def count_known(workspace: Workspace, project: int) -> int:
    """Count the annotations of a project that need no training: it has had one, or is merged from its last export.

    The export is the one of the latest label in the lineage, if it was pulled and is still there. Label Studio, too,
    does not count annotations that were skipped.
    """
    merged, count = read_lineage(workspace.lineage), 0
    merged = merged[merged["project"] == str(project)].sort_values("updated_at")
    for labels_sha256 in merged["labels_sha256"].tail(1):
        with suppress(OSError, ValueError):  # it is gone, or damaged
            tasks = orjson.loads((workspace.root / EXTRA / export_name(project, labels_sha256)).read_bytes())
            count = sum(not one.get("was_cancelled") for task in tasks for one in task["annotations"])
    return max(count, _recorded_annotations(workspace, project))


def _recorded_annotations(workspace: Workspace, project: int) -> int:
    """How many annotations the project had when its last run began; 0 if the last run was for another project."""
    last = workspace.load(RECORD)
    return int(last.get("annotations", 0)) if last.get("project") == project else 0


def run(workspace: Workspace, command: Sequence[str]) -> None:
    """Run a command that retrains, and add to the record of the run how it ended."""
    root = workspace.root
    record = workspace.load(RECORD)
    with suppress(Problem):  # the command will name the fault of the server
        record["annotations"] = count_annotations(BackendSettings.read(root), record["project"])
    committed = workspace.load(DECISION, "HEAD")
    # The command inherits the lock.
    record["exit_code"] = subprocess.run(command, cwd=root, close_fds=False).returncode
    record["ended"] = datetime.now(UTC).isoformat(timespec="seconds")

    decision = read_decision(workspace) if workspace.load(DECISION) != committed else Decision()
    cells = workspace.load(record["report"]).get("cells", [])
    outputs = [output for cell in cells for output in cell.get("outputs", [])]  # text has none
    errors = [output for output in outputs if output["output_type"] == "error"]
    ends = [error["evalue"].partition("\n")[0] or "".join(error["traceback"]) for error in errors]
    record["verdict"] = " ".join(filter(None, [decision.sentence, *ends]))

    # An accepted model that was not pushed, or a run that was killed, costs no training: the next run goes on there.
    if record["exit_code"] and decision.accepted is False:
        try:
            require_own_work(workspace, _starter(record["project"]))
            decline_round(workspace)
            record["declined"] = True
        except Problem as problem:  # such as: nothing was merged, so no round is open
            print(problem)
    workspace.save(RECORD, record)


def _starter(project: int) -> str:
    return f"project {project}"


def _lock(root: Path, kind: int, patience: float = 0) -> int | None:
    """Take the lock of all runs, to hold it or (`LOCK_SH`) to see that nobody does; None if another process has it.

    It ends when everyone has closed the descriptor who inherited it, so it must not be unlocked.
    """
    (root / RUNS).mkdir(exist_ok=True)
    descriptor, until = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o666), time.monotonic() + patience
    while True:
        with suppress(BlockingIOError):
            flock(descriptor, kind | LOCK_NB)
            return descriptor
        if time.monotonic() >= until:
            os.close(descriptor)
            return None
        time.sleep(0.01)


if __name__ == "__main__":
    run(Workspace(Path.cwd()), sys.argv[1:])
