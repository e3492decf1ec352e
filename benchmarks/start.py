"""Where the seconds of a round go: cells, processes of Python and git, and imports.

The sum of processes is more than the whole, because they run beside each other.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from benchmarks.rounds import PAPERMILL, make_benchmark

# Each process of Python notes its command and its seconds, from start-up to the end of its exit functions.
NOTE_PYTHON = """
import atexit, os, sys, time
started = time.perf_counter()
def note():
    with open({log!r}, "a") as file:
        module = getattr(sys.modules["__main__"], "__spec__", None)
        name = module.name.removesuffix(".__main__") if module else os.path.basename(sys.argv[0])
        command = " ".join([name, *sys.argv[1:2]]) if name == "dvc" else name
        print("python", command, time.perf_counter() - started, sep="\\t", file=file)
atexit.register(note)
"""
# So does git, in place of which a script is found.
NOTE_GIT = """#!{python} -S
import subprocess, sys, time
started = time.perf_counter()
code = subprocess.call([{git!r}, *sys.argv[1:]])
with open({log!r}, "a") as file:
    words = [word for word in sys.argv[1:] if not word.startswith("-") and "=" not in word]
    print("git", words[0] if words else "", time.perf_counter() - started, sep="\\t", file=file)
sys.exit(code)
"""
IMPORTS = ("torch", "scipy.stats", "pandas", "matplotlib.figure", "onnxruntime", "dvc.repo", "helpers.figures.charts")


def main(folder: Path) -> None:
    """Run the notebook in a workspace, and again, and print the parts of both runs; then the seconds of imports."""
    workspace = make_benchmark(folder)
    log = folder / "log"
    (folder / "sitecustomize.py").write_text(NOTE_PYTHON.format(log=str(log)))
    shim = folder / "bin/git"
    shim.parent.mkdir()
    shim.write_text(NOTE_GIT.format(python=sys.executable, git=shutil.which("git"), log=str(log)))
    shim.chmod(0o755)
    noting = {"PYTHONPATH": str(folder), "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}"}
    for name in ("a round", "again, with nothing changed"):
        log.write_text("")
        started = time.perf_counter()
        command = [*PAPERMILL, "notebooks/retrain.ipynb", "out.ipynb"]
        subprocess.run(command, cwd=workspace.root, env=os.environ | noting, check=True, capture_output=True)
        print(f"\n{name}: {time.perf_counter() - started:.1f} s")
        print_cells(workspace.root / "out.ipynb")
        print_processes(log)
    print("\nimports, each in a process of its own")
    for module in IMPORTS:
        code = f"import time; started = time.perf_counter(); import {module}; print(time.perf_counter() - started)"
        said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        print(f"{float(said):6.2f} s  {module}")


def print_cells(notebook: Path) -> None:
    """Print the cells that took longest."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        seconds = cell["metadata"].get("papermill", {}).get("duration") or 0
        if seconds >= 0.2:
            last_line = "".join(cell["source"]).strip().splitlines()[-1]
            print(f"{seconds:6.2f} s  cell {cell['id']}: {last_line[:60]}")


def print_processes(log: Path) -> None:
    """Print the number and the seconds of the processes of each command."""
    table = pd.read_csv(log, sep="\t", names=["program", "command", "seconds"], keep_default_na=False)
    for program, processes in table.groupby("program"):
        print(f"{processes['seconds'].sum():6.2f} s  {len(processes)} × {program}")
        by_command = processes.groupby("command")["seconds"].agg(["size", "sum"]).sort_values("sum", ascending=False)
        for command, number, seconds in by_command.head(8).itertuples():
            print(f"{seconds:12.2f} s  {number:.0f} × {command}")
