"""Run a stage of ``dvc.yaml``."""

import atexit
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from helpers.problems import Problem, exit_on_problem

# Modules that decide nothing of a result: a change of these is no reason to run a stage again.
TELLERS = {"helpers/__init__.py", "helpers/problems.py", "helpers/progress.py"}
TELLERS |= {"helpers/pipeline/__init__.py", "helpers/pipeline/stage.py"}


def run_stage(name: str, main: Callable[[], None]) -> None:
    """Run the `main` of a stage; a `Problem` ends it with its message and exit code 1, without a traceback."""

    def run() -> None:
        require_declared_code(name)
        main()

    atexit.register(gc.freeze)  # else Python searches all objects of PyTorch for garbage at its end: most of a second
    exit_on_problem(run)


def require_declared_code(name: str) -> None:
    """Raise a `Problem` if a stage has imported files of this project that it does not name in ``dvc.yaml``.

    DVC would not run it again when they change, and a round could be published without them.
    """
    code = list_own_code(Path.cwd())
    if not code:  # it comes from elsewhere
        return
    declared = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][name]["deps"]
    unknown = sorted(file for file in code if not any(Path(file).is_relative_to(one) for one in declared))
    if unknown:
        raise Problem(
            f"The stage `{name}` uses code that dvc.yaml does not name.",
            unknown,
            "Add it to `deps` of the stage: then DVC runs the stage again when the code changes.",
        )


def list_own_code(root: Path) -> set[str]:
    """List the files of the project at `root` that this process has imported, relative to it, apart from `TELLERS`."""
    files = {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    own = {file.relative_to(root).as_posix() for file in files if file.is_relative_to(root)}
    return {file for file in own if not (root / file).is_relative_to(sys.prefix)} - TELLERS
