"""A round without its training, for tests of its end."""

import hashlib
from typing import Any

import pandas as pd
from PIL import Image

from helpers.round.publishing import remember_workspace
from helpers.workspace import Workspace

PARAMETERS: dict[str, Any] = {
    "baseline": "HEAD",
    "on_problem": "stop",
    "on_disagreement": "leave out",
    "on_suspect": "keep",
    "publish": False,
    "decline": False,
}
PLAN = pd.DataFrame({"action": ["add", "add", "leave out"]})
LINEAGE = """file,label,sha256,task,annotators,updated_at,export_sha256,by_model
dark/new.png,dark,aa,1,1,2026-01-05T09:00:00.000000Z,ee,False
light/moved.png,light,bb,2,1,2026-01-05T09:00:00.000000Z,ee,False
"""
DECISION = {"accepted": True, "sentence": "Better: 99 % right.", "rules": []}
REFUSED = {
    "accepted": False,
    "sentence": "Worse: 80 % right.",
    "rules": [{"rule": "margin", "passed": False, "explanation": "The interval begins too low."}],
}


def images_of(workspace: Workspace) -> dict[str, str]:
    raw = workspace.root / "data/raw"
    return {str(p.relative_to(raw)): hashlib.sha256(p.read_bytes()).hexdigest() for p in raw.rglob("*.png")}


def merge_something(workspace: Workspace) -> None:
    """Change the workspace as a round does, without the training: images come, move, and are recorded."""
    remember_workspace(workspace)
    raw = workspace.root / "data/raw"
    Image.new("L", (8, 8), 77).save(raw / "dark" / "new.png")
    moved = next((raw / "dark").iterdir())
    moved.rename(raw / "light" / moved.name)
    (workspace.root / "data/labels.csv").write_text(LINEAGE)
    (workspace.root / "evaluation/decision.json").write_text("{}\n")
    (workspace.root / "evaluation/metrics.json").write_text("{}\n")
    workspace.dvc("add", "data/raw", "data/labels.csv", quiet=True)


def colleague_of(workspace: Workspace) -> Workspace:
    folder = workspace.root.with_name("colleague")
    workspace.git("clone", "--quiet", str(workspace.root.with_name("demo.git")), str(folder))
    return Workspace(folder)


def tree_of(workspace: Workspace) -> dict[str, bytes]:
    parts = ("data", "model", "evaluation", "dvc.lock", "params.yaml")
    files = [p for part in parts for p in [workspace.root / part, *(workspace.root / part).rglob("*")] if p.is_file()]
    return {str(path.relative_to(workspace.root)): path.read_bytes() for path in files}
