"""Start the notebook without a person: once at a time, in a process of its own, with its report kept in ``runs/``.

Who starts a run takes a lock, which the process and its command inherit: the lock ends with the run, however that ends,
and every other process of the backend sees that one is going. A round that ended otherwise than published or declined
is resumed by the next start.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from threading import Event, Thread
from typing import Any

from extras.backend.counting import count_annotations, count_merged
from extras.backend.run import RECORD, RUNS, starter_of
from extras.backend.settings import BackendSettings
from helpers.problems import Problem
from helpers.round.unattended import STARTED_BY, require_own_work
from helpers.workspace import Workspace

LOCK = "runs/.lock"
PAUSE = 5  # seconds between two questions to Label Studio
PATIENCE = 0.3  # seconds; who only looks whether a run is going holds the lock for an instant

logger = logging.getLogger(__name__)


class Trigger:
    """Starts the notebook for the project of the settings, or another `command`; the report's path is added to it."""

    def __init__(self, root: Path, settings: BackendSettings, command: Sequence[str] = ()) -> None:
        self._workspace, self._settings = Workspace(root), settings
        project = f"{settings.label_studio_url.rstrip('/')}/projects/{settings.retrain_project}"
        self._command = command or notebook_command(project, settings.retrain_scene_key)
        self._starter = starter_of(settings.retrain_project)
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
                    [sys.executable, "-m", "extras.backend.run", *self._command, report],
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
        if self._settings.retrain_after:
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


def notebook_command(export: str, scene_key: str = "") -> list[str]:
    """The command that retrains on an export and publishes an accepted model; it ends with the report's path."""
    parameters = ["-r", "export", export, "-p", "publish", "True", "-p", "require_acceptance", "True"]
    parameters += ["-r", "scene_key", scene_key] if scene_key else []
    options = ["--stdout-file", "-", "--no-progress-bar", *parameters]
    return [sys.executable, "-m", "papermill", *options, "notebooks/retrain.ipynb"]


def count_known(workspace: Workspace, project: int) -> int:
    """Count the annotations of a project that need no training: it has had one, or is merged from its last export."""
    return max(count_merged(workspace, project), _recorded_annotations(workspace, project))


def _recorded_annotations(workspace: Workspace, project: int) -> int:
    """How many annotations the project had when its last run began; 0 if the last run was for another project."""
    last = workspace.load(RECORD)
    return int(last.get("annotations", 0)) if last.get("project") == project else 0


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
