"""Run DVC as a program of its own, and pass on what it says."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from helpers.problems import Problem
from helpers.workspace.git import environment_without_hook

# DVC's advice on what to do next, which publishing a round does, and its notes about its own lock file.
ADVICE = re.compile(
    r"$|To track the changes|\tgit add|To enable auto staging|\tdvc config core.autostage|Use `dvc push`"
    r"|(Updating|Generating) lock file"
)
OF_LISTED_FILES = {"checkout", "fetch", "pull", "push"}  # commands of DVC that believe its list of files


def run_dvc(
    root: Path,
    *arguments: str,
    quiet: bool = False,
    tell: Callable[[str], object] = print,
    python: str = sys.executable,
) -> list[str]:
    """Run DVC in a folder, as `Workspace.dvc` does, in the environment of a `python`."""
    if arguments[0] in OF_LISTED_FILES:
        drop_data_index(root)
    said = []
    # DVC's stages look for `python` on PATH, and Python buffers its output to a pipe.
    environment = environment_without_hook() | {
        "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
    }
    command = [python, "-m", "dvc", *arguments]
    output: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=root, env=environment, process_group=0, **output) as process:
        assert process.stdout is not None
        try:
            for line in map(str.rstrip, process.stdout):
                if ADVICE.match(line):
                    continue
                if not quiet:
                    tell(line)
                said.append(line)
        except BaseException:  # a person interrupts it, or nobody reads any more what it prints
            os.killpg(process.pid, signal.SIGINT)  # DVC and the stage that it runs
            process.communicate()  # read their last words: else they wait for room in the pipe for ever
            raise
    if process.returncode:
        shown = f"`dvc {' '.join(arguments)}`"
        if any("is busy" in line for line in said):
            raise Problem(f"{shown}: another DVC command is running in {root}.", advice="Wait for it to end.")
        raise Problem(f"{shown} failed.", said[-15:])
    return said


def drop_data_index(root: Path) -> None:
    """Let DVC list its files once more: a kill leaves an incomplete list, which it trusts (treeverse/dvc#10977)."""
    from dvc.exceptions import DvcException  # takes half a second, and only a round needs it
    from dvc.repo import Repo

    with suppress(DvcException), Repo(str(root)) as repo:  # the command that follows says what is wrong
        repo.drop_data_index()
