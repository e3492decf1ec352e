"""Send labels that chance chose to a second person, blind: tasks of their own, in a tab *Audit*."""

import pandas as pd

from extras.label_studio.client import Server
from extras.label_studio.fields import BLIND, is_blind
from extras.label_studio.projects import Project
from extras.label_studio.push import set_field
from extras.label_studio.tabs import find_tabs, make_tab
from extras.label_studio.tasks import ROWS
from extras.second_look.audit import AUDIT, FIRST_BLIND, FIRST_SEEN
from helpers.hashing import rank
from helpers.problems import Problem

TAB = "Audit"


def send_audit(server: Server, project: Project, tasks: pd.DataFrame, number: int) -> str:
    """Send so many labelled images once more, without prediction or first answer, and return the address of the tab.

    `tasks` are those of `extras.label_studio.tasks.read_tasks`. The contents' hashes choose, so that the same images
    are chosen when this is repeated, and only missing ones are sent. Both tasks of an image have the field `AUDIT` in
    their data, which every format of export has.
    """
    if number < 0:
        raise Problem(f"audit is {number}.", advice="Give a number of images, 0 or more.")
    labelled = tasks[(tasks["total_annotations"] > 0) & (tasks["sha256"] != "")]
    first = labelled.reset_index().drop_duplicates("sha256").set_index("sha256")
    order = sorted(first.index, key=lambda sha256: rank(sha256, "audit"))
    marked = tasks.loc[[AUDIT in data for data in tasks["data"]], "sha256"].value_counts()
    missing = first.loc[order[:number]].drop(index=marked.index[marked > 1], errors="ignore")
    missing["how"] = [FIRST_BLIND if is_blind(data.get(BLIND)) else FIRST_SEEN for data in missing["data"]]

    # The first tasks are marked before the second ones are there: so an interrupted call can be repeated.
    for how, group in missing.groupby("how"):
        set_field(server, project, pd.Index(group["id"]), AUDIT, str(how))
    again = [
        {"data": {**data, AUDIT: how, BLIND: True}, "meta": {"sha256": sha256}}
        for sha256, data, how in zip(missing.index, missing["data"], missing["how"], strict=True)
    ]
    for start in range(0, len(again), ROWS):
        server.ask("POST", f"/api/projects/{project.number}/import", json=again[start : start + ROWS])
    return f"{server.url}/projects/{project.number}/data?tab={_find_tab(server, project)}"


def _find_tab(server: Server, project: Project) -> int:
    """Return the number of the tab with the images of the audit that nobody has labelled a second time."""
    chosen = {"filter": f"filter:tasks:data.{AUDIT}", "operator": "empty", "type": "String", "value": False}
    unlabelled = {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}
    about = {"filters": {"conjunction": "and", "items": [chosen, unlabelled]}}
    return (find_tabs(server, project.number, TAB) or [make_tab(server, project.number, TAB, about)])[0]
