"""What identifies an export is its labels: drafts change its bytes each minute."""

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from helpers.labels import read_export
from helpers.merge.lineage import hash_labels, read_lineage
from helpers.merge.plan import plan_merge
from helpers.round.comparing import compare_models
from helpers.round.merging import list_corrections, merge_round
from helpers.round.publishing import publish_round
from helpers.round.record import read_decision
from helpers.round.verdict import decide_round
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce


def write_export(workspace: Workspace, label: str, day: int, minutes: int) -> Path:
    """Write an export with one label, given on that day of January, and a draft that is some minutes old."""
    result = [{"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": [label]}}]
    entry = {"completed_by": 1, "result": result, "updated_at": f"2026-01-{day:02}T09:00:00Z", "lead_time": 2.0}
    draft = {"id": 1, "created_ago": f"{minutes} minutes", "result": result}
    tasks = [
        {"id": 1, "project": 3, "data": {"image": "/data/upload/3/0a1b2c3d-picture.png"}, "annotations": [entry]},
        {"id": 2, "project": 3, "data": {"image": "/data/upload/3/0a1b2c3d-other.png"}, "annotations": []},
    ]
    export = workspace.root / "extra-data/project.json"
    export.write_text(json.dumps([task | {"drafts": [draft]} for task in tasks]))
    return export


def merge(workspace: Workspace, export: Path) -> tuple[pd.DataFrame, list[str]]:
    """Merge an export and train; the plan, and the places from before the round of the images that it corrects."""
    images, raw = workspace.root / "extra-data", workspace.raw
    plan = plan_merge(read_export(export), images, raw, lineage=workspace.lineage, hashes=workspace.hashes)
    corrections = list_corrections(workspace, plan)
    merge_round(workspace, plan, export)
    reproduce(workspace)
    return plan, (corrections["previous"] + " → " + corrections["label"]).tolist()


@pytest.mark.slow
def test_a_round_is_looked_at_and_published_a_minute_later_while_somebody_drafts(tiny):
    Image.new("L", (8, 8), 77).save(tiny.root / "extra-data/picture.png")
    export = write_export(tiny, "dark", day=5, minutes=1)
    plan, corrections = merge(tiny, export)
    assert corrections == []
    publish_round(tiny, plan, decide_round(tiny, compare_models(tiny), export, plan), anyway="a test")

    looked = write_export(tiny, "light", day=6, minutes=11)
    plan, corrections = merge(tiny, looked)
    assert corrections == ["dark/picture.png → light"]
    first = decide_round(tiny, compare_models(tiny), looked, plan)

    later = write_export(tiny, "light", day=6, minutes=12)
    plan, corrections = merge(tiny, later)
    assert plan["action"].tolist() == ["keep", "leave out"]
    assert corrections == ["dark/picture.png → light"], "they are shown again"
    decision = decide_round(tiny, compare_models(tiny), later, plan)
    assert decision.export_sha256 != first.export_sha256
    assert decision.labels_sha256 == first.labels_sha256 == hash_labels(read_export(later))
    assert decision.labels_until == "2026-01-06"
    lineage = read_lineage(tiny.lineage)
    assert lineage["labels_sha256"].tolist() == [decision.labels_sha256]
    assert lineage["export_sha256"].tolist() == [first.export_sha256]
    assert lineage["project"].tolist() == ["3"]

    publish_round(tiny, plan, decision, anyway="a test")
    plan, corrections = merge(tiny, write_export(tiny, "light", day=6, minutes=13))
    assert corrections == ["dark/picture.png → light"], "nothing is new, so these are the last round's"
    assert decide_round(tiny, compare_models(tiny), later, plan) == read_decision(tiny, "HEAD")
    assert tiny.git("status", "--porcelain", "evaluation", "data") == ""
