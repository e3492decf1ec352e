"""Start the notebook without a person: once at a time, in a process of its own, with its report kept in ``runs/``.

    python -m helpers.label_studio.trigger COMMAND…

is that process: it runs COMMAND and declines the round if its model is not accepted. It holds a lock, which COMMAND
inherits: the lock ends with the run, however that ends, and a restarted backend sees that one is going. A round that
ended otherwise than published or declined is resumed by the next start.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any

from filelock import FileLock, Timeout

from helpers.label_studio.client import connect
from helpers.label_studio.settings import Settings, read_settings
from helpers.problems import Problem
from helpers.round.declining import decline_round
from helpers.round.record import DEFAULTS, read_decision
from helpers.workspace import DECISION, Workspace

RUNS, LOCK, RECORD = "runs", "runs/.lock", "runs/last.json"
PAUSE = 5  # seconds between two questions to Label Studio
PATIENCE = 10  # seconds; somebody who only looks whether a run is going holds the lock for an instant

logger = logging.getLogger(__name__)


class Trigger:
    """Starts the notebook for the project of the settings, or another `command`; the report's path is added to it."""

    def __init__(self, root: Path, settings: Settings, command: Sequence[str] = ()) -> None:
        self._workspace, self._settings = Workspace(root), settings
        project = f"{settings.label_studio_url.rstrip('/')}/projects/{settings.retrain_project}"
        self._command = command or notebook_command(project)
        self._process: subprocess.Popen[bytes] | None = None
        self._noticed, self._looking = Event(), RLock()

    def start(self) -> bool:
        """Start a run in the background, unless one is going; tells whether it did.

        A start that is refused is not made up for: when the run ends, new annotations are counted.
        """
        with self._looking:
            if self.is_running():
                return False
            now = datetime.now(UTC)
            report = f"{RUNS}/{now:%Y-%m-%dT%H-%M-%S-%f}Z.ipynb"
            known = self._workspace.load(RECORD).get("annotations", 0)
            record = {"report": report, "started": now.isoformat(timespec="seconds"), "annotations": known}
            self._workspace.save(RECORD, record)
            with (self._workspace.root / report).with_suffix(".log").open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "helpers.label_studio.trigger", *self._command, report],
                    cwd=self._workspace.root,
                    env={name: value for name, value in os.environ.items() if name.upper() != "BACKEND_PASSWORD"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        return True

    def is_running(self) -> bool:
        """Whether a run is going, whoever started it."""
        with self._looking:
            if self._process and self._process.poll() is None:  # it may not have its lock yet
                return True
            try:
                with FileLock(self._workspace.root / LOCK, timeout=0):  # makes the folder, too
                    return False
            except Timeout:
                return True

    def state(self) -> dict[str, Any]:
        """Whether a run is going, or was not finished, and the record of the last one that was started."""
        if not self._settings.retrain_project:
            return {"state": "off"}
        running, last = self.is_running(), self._workspace.load(RECORD)
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
                    known = self._workspace.load(RECORD).get("annotations", 0)
                    if count_annotations(self._settings) - known >= self._settings.retrain_after:
                        self.start()
                except Exception as error:  # the next annotation asks again
                    logger.warning("Whether there are enough annotations to retrain is not known: %r", error)
            time.sleep(PAUSE)


def notebook_command(export: str) -> list[str]:
    """The command that retrains on an export and publishes an accepted model; it ends with the report's path."""
    parameters = ["-r", "export", export, "-p", "publish", "True", "-p", "require_acceptance", "True"]
    options = ["--stdout-file", "-", "--no-progress-bar", *parameters]
    return [sys.executable, "-m", "papermill", *options, "notebooks/retrain.ipynb"]


def count_annotations(settings: Settings) -> int:
    """Ask Label Studio how many annotations the project has; raises as `connect` does, or if it is not there."""
    server = connect(settings)
    with closing(server.client):
        return int(server.ask("GET", f"/api/projects/{settings.retrain_project}/")["total_annotations_number"])


def run(workspace: Workspace, command: Sequence[str]) -> None:
    """Run a command that retrains, and add to the record of the run how it ended."""
    root = workspace.root
    record = workspace.load(RECORD)
    with suppress(Problem):  # the command will name the fault of the server
        record["annotations"] = count_annotations(read_settings(root))
    started = time.time()
    # The command inherits the lock.
    record["exit_code"] = subprocess.run(command, cwd=root, close_fds=False).returncode
    record["ended"] = datetime.now(UTC).isoformat(timespec="seconds")

    decided = (root / DECISION).exists() and (root / DECISION).stat().st_mtime >= started
    decision = read_decision(workspace) if decided else DEFAULTS
    cells = workspace.load(record["report"]).get("cells", [])
    outputs = [output for cell in cells for output in cell.get("outputs", [])]  # text has none
    errors = [output for output in outputs if output["output_type"] == "error"]
    ends = [error["evalue"].partition("\n")[0] or "".join(error["traceback"]) for error in errors]
    record["verdict"] = " ".join(filter(None, [decision["sentence"], *ends]))

    # An accepted model that was not pushed, or a run that was killed, costs no training: the next run goes on there.
    if record["exit_code"] and decision["accepted"] is False:
        try:
            decline_round(workspace)
            record["declined"] = True
        except Problem as problem:  # such as: nothing was merged, so no round is open
            print(problem)
    workspace.save(RECORD, record)


def main() -> None:
    """Run the command of the command line, in the workspace that is the working directory."""
    with FileLock(LOCK, timeout=PATIENCE, on_acquired=lambda descriptor: os.set_inheritable(descriptor, True)):
        run(Workspace(Path.cwd()), sys.argv[1:])


if __name__ == "__main__":
    main()
