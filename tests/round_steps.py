"""Rounds to test with: their parameters, their plan, and one without its training."""

import hashlib
import json
import subprocess
from collections.abc import Collection
from typing import Any

import pandas as pd
from PIL import Image

from examples.workspace import PROJECT, name_author
from helpers.comparison.policy import DecideParams
from helpers.comparison.record import Decision
from helpers.labels import read_export
from helpers.merge.plan import plan_merge
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import read_params
from helpers.pipeline.paths import MODEL, PARAMS
from helpers.round.comparing import compare_models
from helpers.round.declining import remember_workspace
from helpers.round.publishing import publish_round
from helpers.round.record import read_decision
from helpers.round.verdict import decide_round
from helpers.workspace import Workspace

PLANETS = PROJECT.parent / "shared/planets"
PARAMETERS: dict[str, Any] = {
    "baseline": "HEAD",
    "on_problem": "stop",
    "on_disagreement": "leave out",
    "publish": False,
    "decline": False,
    "removed": "",
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


def merge_something(workspace: Workspace, lineage: str = LINEAGE) -> None:
    """Change the workspace as a round does, without the training: images come, move, and are recorded."""
    remember_workspace(workspace)
    raw = workspace.root / "data/raw"
    Image.new("L", (8, 8), 77).save(raw / "dark" / "new.png")
    moved = next((raw / "dark").iterdir())
    moved.rename(raw / "light" / moved.name)
    (workspace.root / "data/labels.csv").write_text(lineage)
    (workspace.root / "evaluation/decision.json").write_text("{}\n")
    (workspace.root / "evaluation/metrics.json").write_text("{}\n")
    workspace.dvc("add", "data/raw", "data/labels.csv", quiet=True)
    workspace.dvc("commit", "--force", quiet=True)


def publish_images(workspace: Workspace, count: int) -> None:
    """Publish a round with so many new images, without its training."""
    for number in range(count):
        Image.new("L", (8, 9 + number), 77).save(workspace.raw / "light" / f"more{number}.png")
    workspace.dvc("add", "data/raw", quiet=True)
    workspace.dvc("commit", "--force", quiet=True)
    publish(workspace)


def publish(
    workspace: Workspace, plan: pd.DataFrame = PLAN, decision: dict[str, Any] = DECISION, **options: Any
) -> list[str]:
    """Publish a round as if the model in the workspace had been judged."""
    policy = read_params(DecideParams, workspace.root / PARAMS).model_dump()
    *_, baseline = workspace.git("log", "--format=%H", "--", "dvc.lock").split()
    decision = decision | {"model": version(workspace), "policy": policy, "replaces_commit": baseline}
    workspace.save("evaluation/decision.json", decision)
    return publish_round(workspace, plan, read_decision(workspace), **options)


def go_back(workspace: Workspace, revision: str) -> None:
    """Run literally the command that docs/your-images.md has for going back to an older model."""
    page = (PROJECT / "docs/your-images.md").read_text()
    (command,) = [line for line in page.splitlines() if line.startswith("    git restore --source=model/v3 ")]
    run_as_documented(workspace, command.replace("model/v3", revision))


def run_as_documented(workspace: Workspace, command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True, cwd=workspace.root)


def push_something_else(workspace: Workspace) -> None:
    colleague = colleague_of(workspace)
    colleague.git("-c", "user.name=C", "-c", "user.email=c@d", "commit", "--quiet", "--allow-empty", "-m", "Mine")
    colleague.git("push", "--quiet")


def version(workspace: Workspace) -> str:
    return load_classifier((workspace.root / MODEL).read_bytes()).version


def colleague_of(workspace: Workspace) -> Workspace:
    folder = workspace.root.with_name("colleague")
    workspace.git("clone", "--quiet", str(workspace.root.with_name("demo.git")), str(folder))
    name_author(Workspace(folder))
    return Workspace(folder)


def tree_of(workspace: Workspace) -> dict[str, bytes]:
    parts = ("data", "model", "evaluation", "dvc.lock", "params.yaml")
    files = [p for part in parts for p in [workspace.root / part, *(workspace.root / part).rglob("*")] if p.is_file()]
    return {str(path.relative_to(workspace.root)): path.read_bytes() for path in files}


def plan_round(workspace: Workspace, labels: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """The plan for a table of labels, whose images are in extra-data."""
    folders = workspace.root / "extra-data", workspace.raw
    usual: dict[str, Any] = {"lineage": workspace.lineage, "hashes": workspace.hashes, "on_problem": "skip"}
    return plan_merge(labels, *folders, **usual | options)


def plan_sample(sample: Workspace, wrong: Collection[str] = (), **options: Any) -> pd.DataFrame:
    """The plan for the labels of the sample, of which those of the named tasks are made wrong."""
    export = sample.root / "extra-data/annotations.json"
    rows = json.loads(export.read_text())
    for row in rows:
        if row["image"] in wrong:
            row["choice"] = str((int(row["choice"]) + 3) % 10)
    export.write_text(json.dumps(rows))
    return plan_round(sample, read_export(export), **options)


def plan_label(workspace: Workspace, label: str, day: int, scene: str = "") -> pd.DataFrame:
    """The plan for an export in which somebody gave one picture this label on that day of January."""
    labels = pd.DataFrame(
        {
            "image": ["/data/upload/1/12345678-picture.png"],
            "file": ["12345678-picture.png"],
            "label": [label],
            "status": ["labelled"],
            "reason": [None],
            "tasks": [(1,)],
            "annotators": [("1",)],
            "labels": [(label,)],
            "updated_at": [pd.Timestamp(2026, 1, day, tz="UTC")],
            "lead_time": [1.0],
            "by_model": [False],
            "project": [""],
            "queue": [""],
            "scene": [scene],
        }
    )
    images = workspace.root / "extra-data"
    return plan_merge(labels, images, workspace.raw, lineage=workspace.lineage, hashes=workspace.hashes)


def decide(workspace: Workspace, baseline: str = "HEAD") -> Decision:
    export = workspace.root / "extra-data/annotations.json"
    return decide_round(workspace, compare_models(workspace, baseline), export, read_export(export))
