"""A second person gets images that chance chose, blind; an export of a real server tells the audit."""

import pandas as pd
import pytest
from pushing import CLASSES, all_tasks, annotate, number_of, push

from extras.label_studio import tasks
from extras.label_studio.client import Server
from extras.label_studio.projects import find_project
from extras.label_studio.pull import pull_export
from extras.second_look.audit import AUDIT, count_audited
from extras.second_look.audit_tasks import send_audit
from helpers.hashing import rank
from helpers.problems import Problem

pytest_plugins = ["connected"]  # its fixtures


def audit(server: Server, title: str, folder, number: int) -> str:
    project = find_project(server, 0, title, CLASSES)
    return send_audit(server, project, tasks.read_tasks(server, project, "one", folder), number)


def in_tab(server: Server, address: str, project: int) -> list[dict]:
    asked = {"project": project, "view": address.partition("?tab=")[2], "page_size": 100, "fields": "all"}
    return server.ask("GET", "/api/tasks", params=asked)["tasks"]


def annotate_as(server: Server, task: int, label: str, who: int) -> None:
    chosen = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    body = {"result": [chosen], "lead_time": 1, "completed_by": who}
    server.ask("POST", f"/api/tasks/{task}/annotations/", json=body)


@pytest.mark.label_studio
def test_chosen_images_come_back_labelled_by_two_people(server, title, folder, tmp_path):
    push(server, title, folder, blind="01")
    for task in all_tasks(server, title)[:6]:
        annotate(server, task["id"])
    address = audit(server, title, folder, 3)
    project = number_of(server, title)
    copies = in_tab(server, address, project)
    assert len(copies) == 3
    known = [task for task in all_tasks(server, title) if task["total_annotations"]]
    expected = sorted((task["meta"]["sha256"] for task in known), key=lambda sha256: rank(sha256, "audit"))[:3]
    assert {task["meta"]["sha256"] for task in copies} == set(expected)
    assert not any(task["total_predictions"] for task in copies)

    # The same call again sends nothing, a larger number the missing ones, and another push asks no model about them.
    audit(server, title, folder, 3)
    assert len(in_tab(server, address, project)) == 3
    assert audit(server, title, folder, 4) == address
    push(server, title, folder, version="two")
    copies = in_tab(server, address, project)
    assert len(copies) == 4
    assert not any(task["total_predictions"] for task in copies)

    user = {"email": f"second-{project}@example.org", "username": f"second{project}"}
    second = server.ask("POST", "/api/users/", json=user)["id"]
    for task, label in zip(copies, [CLASSES[0], CLASSES[0], CLASSES[0], CLASSES[1]], strict=True):
        annotate_as(server, task["id"], label, second)
    assert in_tab(server, address, project) == []
    _, labels = pull_export(server, project, tmp_path / "pulled", keep=[AUDIT])
    assert len(labels[labels["status"] != "unlabelled"]) == 6
    audited = count_audited(labels)
    assert (audited.labels, audited.differ) == (4, 1)
    assert audited.blind == all(labels.loc[labels[AUDIT].notna(), AUDIT] == "blind")


def test_a_negative_number_is_named(stand_in):
    nothing = pd.DataFrame(columns=["data", "sha256", "total_annotations"])
    with pytest.raises(Problem, match="audit is -1"):
        send_audit(stand_in, None, nothing, -1)  # type: ignore[arg-type]
