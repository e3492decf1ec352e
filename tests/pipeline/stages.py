"""Stages in processes of their own, as DVC runs them."""

import os
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def run_stage(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
