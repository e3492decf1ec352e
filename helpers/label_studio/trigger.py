"""Start the notebook without a person: once at a time, in a process of its own, with its report kept in ``runs/``.

    python -m helpers.label_studio.trigger REPORT COMMAND…

is that process: it runs COMMAND, which writes REPORT, and declines the round if its model is not accepted. It inherits
the lock that its starter took: the lock ends with the run, however that ends, and a restarted backend sees that one is
going. A round that ended otherwise than published or declined is resumed by the next start.
"""

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO, Any

from helpers.label_studio.client import connect
from helpers.label_studio.settings import Settings, read_settings
from helpers.problems import Problem
from helpers.publishing import decline_round
from helpers.workspace import DECISION, Workspace

RUNS = "runs"
PAUSE = 5  # seconds between two questions to Label Studio

logger = logging.getLogger(__name__)


class Trigger:
    """Starts the notebook for the project of the settings.

    Parameters
    ----------
    root : Path
        The workspace's root.
    settings : Settings
    command : sequence of str, optional
        What to run in place of the notebook; the report's path is added.
    """

    def __init__(self, root: Path, settings: Settings, command: Sequence[str] = ()) -> None:
        self._root, self._settings = root, settings
        project = f"{settings.label_studio_url.rstrip('/')}/projects/{settings.retrain_project}"
        self._command = command or notebook_command(project)
        self._noticed, self._starting = Event(), Lock()

    def start(self, annotations: int | None = None) -> bool:
        """Start a run in the background, unless one is going; tells whether it did.

        What is asked for while one is going is not kept: the same labels would only give the same model again, and new
        annotations are counted when it ends.

        Parameters
        ----------
        annotations : int, optional
            How many the project has. Without it, the run asks.
        """
        with self._starting:
            lock = self._take_lock()
            if not lock:
                return False
            now = datetime.now(UTC)
            report = self._root / RUNS / f"{now:%Y-%m-%dT%H-%M-%S}Z.ipynb"
            record = {"report": f"{RUNS}/{report.name}", "started": now.isoformat(timespec="seconds")}
            _write_record(report, record | ({} if annotations is None else {"annotations": annotations}))
            with lock, report.with_suffix(".log").open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "helpers.label_studio.trigger", str(report), *self._command, str(report)],
                    cwd=self._root,
                    env={name: value for name, value in os.environ.items() if name.upper() != "BACKEND_PASSWORD"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[lock.fileno()],
                    start_new_session=True,
                )
        Thread(target=self._wait, args=[process], daemon=True).start()
        return True

    def is_running(self) -> bool:
        """Whether a run is going, whoever started it."""
        with self._starting:
            lock = self._take_lock()
            if lock:
                lock.close()
            return not lock

    def state(self) -> dict[str, Any]:
        """Whether a run is going, or was not finished, and the record of the last one that was started."""
        if not self._settings.retrain_project:
            return {"state": "off"}
        running, records = self.is_running(), _read_records(self._root)
        last = records[-1] if records else None
        if running:
            state = "running"
        elif last and last.get("exit_code") != 0 and not last.get("declined"):  # failed, or killed
            state = "unfinished: the next start resumes it"
        else:
            state = "idle"
        return {"state": state, "run": last}

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
            self._noticed.clear()
            try:
                if not self.is_running():
                    annotations = count_annotations(self._settings)
                    known = [record["annotations"] for record in _read_records(self._root) if "annotations" in record]
                    if annotations - (known[-1] if known else 0) >= self._settings.retrain_after:
                        self.start(annotations)
            except Exception as error:  # the next annotation asks again
                logger.warning("Whether there are enough annotations to retrain is not known: %r", error)
            time.sleep(PAUSE)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self.notice()

    def _take_lock(self) -> IO[bytes] | None:
        folder = self._root / RUNS
        folder.mkdir(exist_ok=True)
        lock = (folder / ".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock


def notebook_command(export: str) -> list[str]:
    """The command that retrains on an export and publishes an accepted model; it ends with the report's path."""
    parameters = ["-r", "export", export, "-p", "publish", "True", "-p", "require_acceptance", "True"]
    options = ["--log-output", "--no-progress-bar", *parameters]
    return [sys.executable, "-m", "papermill", *options, "notebooks/retrain.ipynb"]


def count_annotations(settings: Settings) -> int:
    """Ask Label Studio how many annotations the project has.

    Raises
    ------
    Problem
        As `label_studio.connect` does, or there is no such project.
    """
    server = connect(settings)
    with closing(server.client):
        return int(server.ask("GET", f"/api/projects/{settings.retrain_project}/")["total_annotations_number"])


def run(workspace: Workspace, report: Path, command: Sequence[str]) -> None:
    """Run a command that retrains, and keep what became of it beside its report.

    Parameters
    ----------
    workspace : Workspace
    report : Path
        The notebook that the command writes. Its record has the same name and ends in ``.json``.
    command : sequence of str
    """
    record = json.loads(report.with_suffix(".json").read_bytes())
    if "annotations" not in record:
        with suppress(Problem):  # the command will say what is wrong with the server
            record["annotations"] = count_annotations(read_settings(workspace.root))
    started = time.time()
    code = subprocess.run(command, cwd=workspace.root, close_fds=False).returncode  # it inherits the lock
    decision = _read_decision(workspace.root / DECISION, started)
    record["verdict"] = " ".join([*filter(None, [decision.get("sentence")]), *_read_errors(report)])
    # An accepted model that was not pushed, or a run that was killed, costs no training: the next run goes on there.
    if code and decision.get("accepted") is False:
        try:
            decline_round(workspace)
            record["declined"] = True
        except Problem as problem:  # such as: nothing was merged, so no round is open
            print(problem)
    record |= {"ended": datetime.now(UTC).isoformat(timespec="seconds"), "exit_code": code}
    _write_record(report, record)


def _read_decision(file: Path, since: float) -> dict[str, Any]:
    """The decision, if it was written since then."""
    with suppress(FileNotFoundError, ValueError):  # none, or a damaged one
        if file.stat().st_mtime >= since:
            return dict(json.loads(file.read_bytes()))
    return {}


def _read_errors(report: Path) -> list[str]:
    """The sentences that stopped the notebook."""
    with suppress(FileNotFoundError, ValueError):
        cells = json.loads(report.read_bytes())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        return [output["evalue"].partition("\n")[0] for output in outputs if output["output_type"] == "error"]
    return []


def _write_record(report: Path, record: dict[str, Any]) -> None:
    part = report.with_suffix(".part")
    part.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(report.with_suffix(".json"))


def _read_records(root: Path) -> list[dict[str, Any]]:
    """The records of all runs, the latest last."""
    return [json.loads(file.read_bytes()) for file in sorted((root / RUNS).glob("*.json"))]


def main() -> None:
    """Run what the command line says, in the workspace that is the working directory."""
    run(Workspace(Path.cwd()), Path(sys.argv[1]), sys.argv[2:])


if __name__ == "__main__":
    main()
