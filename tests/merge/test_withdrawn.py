"""Labels that somebody took back in Label Studio are found; their images stay."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from projects import Project, make_project

from helpers.labels import read_export
from helpers.merge.apply import apply_merge
from helpers.merge.lineage import read_lineage
from helpers.merge.plan import plan_merge
from helpers.merge.withdrawn import find_withdrawn

GENUINE = Path(__file__).parents[3] / "shared/exports"


@pytest.fixture
def project(tmp_path) -> Project:
    """A training set with three labels of project 3: tasks 1, 2 and 3."""
    project = make_project(tmp_path)
    merge(project, export_of(project, {1: "Mars", 2: "Mars", 3: "Moon", 4: None}))
    return project


def export_of(project: Project, answers: dict[int, str | None], number: int = 3) -> Path:
    """An export in JSON of the tasks of a project: a label, ``skip``, an empty text for no choice, or no annotation."""
    tasks = []
    for task, answer in answers.items():
        value = {"from_name": "choice", "type": "choices", "value": {"choices": [answer]}}
        entry = {"completed_by": 1, "updated_at": "2026-11-02T09:00:00Z", "was_cancelled": answer == "skip"}
        entry["result"] = [value] if answer not in ("", "skip") else []
        image = f"/data/upload/3/0a1b2c3d-{'abcd'[task - 1]}.png"
        annotations = [] if answer is None else [entry]
        tasks.append({"id": task, "project": number, "data": {"image": image}, "annotations": annotations})
    export = project.root / "export.json"
    export.write_text(json.dumps(tasks))
    return export


def plan_of(project: Project, export: Path) -> pd.DataFrame:
    places: dict[str, Any] = {"lineage": project.lineage, "hashes": project.hashes}
    return plan_merge(read_export(export), project.images, project.raw, **places)


def merge(project: Project, export: Path) -> None:
    apply_merge(plan_of(project, export), project.raw, project.lineage, "e1", hashes=project.hashes)


def withdrawn(project: Project, export: Path) -> dict[str, str]:
    found = find_withdrawn(plan_of(project, export), project.raw, read_lineage(project.lineage))
    return dict(zip(found["file"], found["happened"], strict=True))


@pytest.mark.parametrize("images", ["there", "gone"])
def test_a_skip_a_deleted_annotation_and_a_deleted_task_are_withdrawn_labels_of_images_that_stay(project, images):
    if images == "gone":  # after a merge, nobody needs them any more
        for file in project.images.iterdir():
            file.unlink()
    export = export_of(project, {1: "skip", 2: None})
    expected = {
        "Mars/a.png": "its task was skipped",
        "Mars/b.png": "its annotation was deleted",
        "Moon/c.png": "its task was deleted",
    }
    assert withdrawn(project, export) == expected
    merge(project, export)
    assert all((project.raw / file).exists() for file in expected)
    assert withdrawn(project, export) == expected, "as long as they stay"
    (project.raw / "Mars/a.png").unlink()
    assert withdrawn(project, export).keys() == {"Mars/b.png", "Moon/c.png"}


def test_an_export_without_unannotated_tasks_cannot_tell_an_annotation_from_a_task(project):
    expected = {
        "Mars/b.png": "its annotation or its task was deleted",
        "Moon/c.png": "it was submitted without a choice",
    }
    assert withdrawn(project, export_of(project, {1: "Mars", 3: ""})) == expected


def test_another_answer_is_no_withdrawal(project):
    assert withdrawn(project, export_of(project, {1: "Moon", 2: "Mars", 3: "Moon"})) == {}
    project.put("images/d.png", (project.images / "c.png").read_bytes())
    assert withdrawn(project, export_of(project, {1: "Mars", 2: "Mars", 3: "skip", 4: "Moon"})) == {}


def test_another_project_tells_nothing(project):
    assert withdrawn(project, export_of(project, {1: "skip", 4: None}, number=4)) == {}
    rows = [{"image": "/data/upload/3/0a1b2c3d-a.png", "id": 1, "choice": "Mars", "annotator": 1, "annotation_id": 1}]
    rows[0] |= dict.fromkeys(("created_at", "updated_at"), "2026-11-02T09:00:00Z") | {"lead_time": 2.0}
    (project.root / "export.json").write_text(json.dumps(rows))
    assert withdrawn(project, project.root / "export.json") == {}, "JSON-MIN knows no project"


@pytest.mark.skipif(not GENUINE.exists(), reason="needs exports of a real Label Studio, in ../shared")
def test_nothing_is_withdrawn_from_an_export_that_was_just_merged(tmp_path):
    project = Project(tmp_path / "project")
    labels = read_export(GENUINE / "01-single-choice-all-tasks.JSON.json")
    places: dict[str, Any] = {"lineage": project.lineage, "hashes": project.hashes, "on_problem": "skip"}
    classes = set(labels["label"].dropna())
    plan = plan_merge(labels, GENUINE / "images", project.raw, new_classes=classes, **places)
    apply_merge(plan, project.raw, project.lineage, "e1", hashes=project.hashes)
    lineage = read_lineage(project.lineage)
    assert len(lineage) == 17
    assert find_withdrawn(plan, project.raw, lineage).empty
