"""Read the record of a decision, as it is or as a commit has it."""

from helpers.comparison.record import SCHEMA, Decision
from helpers.problems import Problem
from helpers.workspace import DECISION, Workspace


def read_decision(workspace: Workspace, revision: str = "") -> Decision:
    """Read the decision in the workspace, or at a git revision; one that is missing or damaged says nothing.

    A `Problem` tells that a newer version of the project has written it.
    """
    record = workspace.load(DECISION, revision)
    schema = record.get("schema", 1)
    if schema not in range(1, SCHEMA + 1):
        where = f"{DECISION} of {revision}" if revision else DECISION
        raise Problem(
            f"{where} has the schema {schema!r}, and this code knows those up to {SCHEMA}.",
            advice="A newer version of the project has written it: merge that version into this branch.",
        )
    try:
        return Decision.from_json(record)
    except ValueError:
        return Decision()
