"""Count the annotations of a project: those that it has, and those that were merged."""

from contextlib import closing, suppress

import orjson

from extras.backend.settings import BackendSettings
from extras.label_studio.client import connect
from extras.label_studio.pull import export_name
from helpers.merge.lineage import read_lineage
from helpers.workspace import EXTRA, Workspace


def count_annotations(settings: BackendSettings, project: int) -> int:
    """Ask Label Studio how many annotations a project has; raises as `connect` does, or if it is not there."""
    server = connect(settings)
    with closing(server.client):
        return int(server.ask("GET", f"/api/projects/{project}/")["total_annotations_number"])


def count_merged(workspace: Workspace, project: int) -> int:
    """Count the annotations in the last export of a project that was merged; 0 if it is not known.

    It is the one of the latest label in the lineage, if it was pulled and is still there. Label Studio, too, does not
    count annotations that were skipped.
    """
    merged, count = read_lineage(workspace.lineage), 0
    merged = merged[merged["project"] == str(project)].sort_values("updated_at")
    for labels_sha256 in merged["labels_sha256"].tail(1):
        with suppress(OSError, ValueError):  # it is gone, or damaged
            tasks = orjson.loads((workspace.root / EXTRA / export_name(project, labels_sha256)).read_bytes())
            count = sum(not one.get("was_cancelled") for task in tasks for one in task["annotations"])
    return count
