"""Genuine rounds of photographs are accepted, and a worse model is not."""

from pathlib import Path

import pandas as pd
import pytest
from round_steps import PLANETS, plan_round

from helpers.comparison.record import Decision
from helpers.labels import read_export
from helpers.pipeline.paths import INDEX, read_table
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.publishing import publish_round
from helpers.round.verdict import decide_round
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce

ROUND = PLANETS / "exports/round1.JSON.json"
pytestmark = pytest.mark.slow


def retrain(workspace: Workspace, plan: pd.DataFrame, export: Path) -> Decision:
    merge_round(workspace, plan, export)
    reproduce(workspace)
    return decide_round(workspace, compare_models(workspace), export, plan)


def test_genuine_rounds_are_accepted(planets):
    for export in (ROUND, PLANETS / "exports/round2.JSON.json"):
        plan = plan_round(planets, read_export(export))
        decision = retrain(planets, plan, export)
        assert decision.failures == []
        publish_round(planets, plan, decision)


def test_a_model_of_a_tenth_of_the_images_is_refused(planets):
    index = read_table((planets.root / INDEX).read_bytes())
    for number, file in enumerate(index.loc[index["split"] == "train", "file"]):
        if number % 10:
            (planets.raw / file).unlink()
    reproduce(planets)
    decision = decide_round(planets, compare_models(planets), ROUND, read_export(ROUND))
    assert (decision.verdict, decision.accepted) == ("worse", False)
