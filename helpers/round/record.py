"""The record of a decision, ``evaluation/decision.json``, in every version that this project has written."""

from typing import Any

from helpers.problems import Problem
from helpers.workspace import DECISION, Workspace

SCHEMA = 2  # a higher number for a field that changes its meaning or goes; records without a number are of schema 1
DEFAULTS: dict[str, Any] = {
    "schema": 1,
    "accepted": None,
    "sentence": "",
    "model": "",
    "baseline_commit": "",
    "replaces_commit": "",
    "changes": {},
    "trained_on": 0,
    "seed_noise": None,
    "seed": None,
    "labels_sha256": "",
    "judged": [],
}


def read_decision(workspace: Workspace, revision: str = "") -> dict[str, Any]:
    """Read the decision in the workspace, or at a git revision.

    Fields that an older record lacks have their `DEFAULTS`, as all of them have where there is none. A `Problem` tells
    that a newer version of the project has written it.
    """
    decision = DEFAULTS | workspace.load(DECISION, revision)
    if decision["schema"] not in range(1, SCHEMA + 1):
        where = f"{DECISION} of {revision}" if revision else DECISION
        raise Problem(
            f"{where} has the schema {decision['schema']!r}, and this code knows those up to {SCHEMA}.",
            advice="A newer version of the project has written it: merge that version into this branch.",
        )
    return decision
