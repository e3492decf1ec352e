"""A run: it retrains by a command, records how that ended, and declines the round if its model is not accepted.

    python -m extras.backend.run COMMAND…

A trigger starts it. The last word of the command is the path of its report.
"""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from extras.backend.counting import count_annotations
from extras.backend.settings import BackendSettings
from helpers.comparison.record import Decision
from helpers.problems import Problem
from helpers.round.declining import decline_round
from helpers.round.record import read_decision
from helpers.round.unattended import require_own_work
from helpers.workspace import DECISION, Workspace

RUNS, RECORD = "runs", "runs/last.json"


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
            require_own_work(workspace, starter_of(record["project"]))
            decline_round(workspace)
            record["declined"] = True
        except Problem as problem:  # such as: nothing was merged, so no round is open
            print(problem)
    workspace.save(RECORD, record)


def starter_of(project: int) -> str:
    """Who begins rounds for a project."""
    return f"project {project}"


if __name__ == "__main__":
    run(Workspace(Path.cwd()), sys.argv[1:])
