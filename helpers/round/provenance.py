"""The origin of a report: its labels, commit, programs and machine."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from helpers.hashing import sha256_of
from helpers.merge.lineage import hash_labels
from helpers.workspace import Workspace

PROGRAMS = ["dvc", "torch", "onnxruntime", "numpy"]


def describe_run(workspace: Workspace, export: Path, labels: pd.DataFrame) -> str:
    """Name the labels, the commit, the programs and the machine that made a report, each in a line.

    `labels` is the table of `helpers.labels.read_export` from `export`; its hash is that of `hash_labels`.
    """
    commit = workspace.git("describe", "--always", "--tags", "--dirty=, and changes that are not committed")
    programs = [f"{name} {version(name)}" for name in PROGRAMS]
    return "\n".join(
        [
            f"Labels:   {hash_labels(labels)[:12]}, from {export.name}, sha256 {sha256_of(export)[:12]}",
            f"Commit:   {commit.strip()}",
            f"Programs: {', '.join([f'Python {platform.python_version()}', *programs])}",
            f"Machine:  {platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        ]
    )
