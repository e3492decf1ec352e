"""Hand over to the decision what the new data brought, apart from the effect of chance."""

import numpy as np
import pandas as pd

from extras.chance.estimate import Brought, estimate_brought
from extras.chance.trainings import FurtherTrainings, choose_trainings
from helpers.comparison.decision import Finding, Row
from helpers.comparison.scores import Comparison
from helpers.comparison.words import points
from helpers.problems import Problem
from helpers.round.record import read_decision
from helpers.round.verdict import list_changes
from helpers.workspace import Workspace


def measure_brought(workspace: Workspace, comparison: Comparison, further: FurtherTrainings) -> Brought:
    """Estimate what the new data brought, with further models of the old data and the new.

    A comparison that the last decision measured is not measured again. A `Problem` tells why it cannot be measured.
    """
    if remembered := _remember(workspace, comparison, choose_trainings(workspace, further.seeds)):
        return remembered
    answers = further.read_answers(comparison.baseline)
    scored = comparison.scored

    def add_right(right: pd.Series, models: list[list[str]]) -> np.ndarray:
        """Tell which scored images further models get right, below those that the first one does."""
        table = pd.DataFrame(models, columns=answers.files)[scored["file"]]
        return np.vstack([right, table.to_numpy() == scored["actual"].to_numpy()]).astype(bool)

    old, new = add_right(scored["old_right"], answers.old), add_right(scored["new_right"], answers.new)
    return estimate_brought(old, new, scored.get("scene"))


def find_chance(workspace: Workspace, comparison: Comparison, further: FurtherTrainings) -> Finding:
    """Hand over to the decision what the new data brought, or a note on why that is not measured."""
    if not comparison.old or len(comparison.scored) < 2:
        further.stop()
        return Finding()
    try:
        brought = measure_brought(workspace, comparison, further)
    except Problem as problem:
        return Finding(notes=[f"What the new data brought, apart from chance, is not measured: {problem.headline}"])
    finally:
        further.stop()  # nobody needs them any more
    what = "new labels and settings together" if list_changes(workspace, comparison.baseline) else "the new labels"
    low, high = points(brought.low), points(brought.high)
    headline = f"{what} brought {points(brought.difference)} ({low} to {high})"
    if brought.low <= 0 <= brought.high:
        headline = f"chance alone may explain it: {headline}"
    trainings = " + ".join(map(str, brought.models))
    note = (
        f"{what.capitalize()} brought {points(brought.difference)} points (95 % interval {low} to {high}; "
        f"the images and the chance of {trainings} trainings are in it)."
    )
    row = Row("what the data\nbrought (95 %)", brought.difference, brought.low, brought.high)
    return Finding(notes=[note], headline=headline, row=row, record=brought._asdict())


def _remember(workspace: Workspace, comparison: Comparison, extra: tuple[int, int]) -> Brought | None:
    """Return the measurement of the last decision, if it is of the same models and images, with as many trainings."""
    last = read_decision(workspace)
    record, tally = last.findings.get("chance"), comparison.tally.loc["together"].to_dict()
    same = (last.model, last.baseline_commit) == (comparison.new, comparison.baseline)
    if not same or not isinstance(record, dict) or {"population": "together", **tally} not in last.images:
        return None
    brought = Brought(**record | {"models": tuple(record["models"])})
    enough = all(models > number for models, number in zip(brought.models, extra, strict=True))
    return brought if enough else None
