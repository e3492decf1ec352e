"""Start the stage ``train`` as ``train.launcher`` says: in one process, or in several on one host or more."""

import os
import shlex

from helpers.pipeline.params import TrainParams, read_params
from helpers.problems import Problem, exit_on_problem


def main() -> None:
    """Become the launcher: whoever started this process sees its output and exit code, and interrupts it."""
    launcher = read_params(TrainParams).launcher
    try:
        command = [*shlex.split(launcher), "-m", "helpers.pipeline.train"]
        os.execvp(command[0], command)
    except (OSError, ValueError) as error:
        raise Problem(
            f"train.launcher is {launcher!r}, which cannot be run.", [str(error)], "docs/settings.md explains it."
        ) from None


if __name__ == "__main__":
    exit_on_problem(main)
