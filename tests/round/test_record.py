"""The record of a decision is read whichever version of the project has written it, unless that is newer."""

import pytest
from rounds import DECISION, PARAMETERS

from helpers.problems import Problem
from helpers.round.record import read_decision
from helpers.round.start import start_round
from helpers.workspace import Workspace

FILE = "evaluation/decision.json"


def test_a_record_without_a_number_is_of_schema_1_and_what_it_lacks_has_a_default(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.save(FILE, DECISION)
    decision = read_decision(workspace)
    assert decision["schema"] == 1
    assert decision["sentence"] == DECISION["sentence"]
    assert (decision["model"], decision["changes"], decision["judged"]) == ("", {}, [])


@pytest.mark.parametrize("schema", [3, 0, "two", None])
def test_a_record_of_a_newer_version_ends_the_round_before_anything_is_changed(tiny, schema):
    tiny.save(FILE, {"schema": schema})
    with pytest.raises(Problem, match=f"schema {schema!r}"):
        start_round(tiny, **PARAMETERS)


def test_a_record_of_a_newer_version_is_named_with_its_commit(tiny):
    tiny.save(FILE, {"schema": 3})
    tiny.git("add", FILE)
    tiny.git("commit", "--quiet", "--message", "A newer version")
    commit = tiny.git("rev-parse", "HEAD").strip()
    with pytest.raises(Problem, match=commit[:7]):
        read_decision(tiny, commit)
