"""Notebooks, run where nobody watches: papermill in a process of its own."""

import os
import subprocess
import sys

from helpers.workspace import Workspace

PAPERMILL = [sys.executable, "-m", "papermill", "--no-progress-bar", "--log-level", "ERROR"]


def run_notebook(
    workspace: Workspace, name: str, *options: str, cwd: str = ".", seconds: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a notebook from a folder of the workspace, at most so long; what it became is ``out.ipynb`` at the root."""
    folder = workspace.root / cwd
    notebook = os.path.relpath(workspace.root / "notebooks" / name, folder)
    command = [*PAPERMILL, notebook, str(workspace.root / "out.ipynb"), *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds)
