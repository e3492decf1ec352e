"""The record of a decision is read whichever version of the project has written it, unless that is newer."""

import pytest
from round_steps import DECISION, PARAMETERS

from helpers.comparison.record import SCHEMA, Decision
from helpers.problems import Problem
from helpers.round.record import read_decision
from helpers.round.start import start_round
from helpers.workspace import Workspace

FILE = "evaluation/decision.json"


def test_a_record_without_a_number_is_read_and_whatever_it_lacks_has_a_default(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.save(FILE, DECISION)
    decision = read_decision(workspace)
    assert (decision.sentence, decision.accepted) == (DECISION["sentence"], True)
    assert (decision.model, decision.changes, decision.judged) == ("", {}, [])


def test_a_record_of_schema_2_keeps_the_records_of_extras(tmp_path):
    noise, policy = {"share": 0.1, "low": 0.0, "high": 0.2}, {"margin": 0.01, "max_label_noise": 0.05}
    workspace = Workspace(tmp_path)
    workspace.save(FILE, {"schema": 2, "label_noise": noise, "seed_noise": [0.01], "policy": policy})
    decision = read_decision(workspace)
    assert decision.findings == {"second_look": noise, "chance": [0.01]}
    assert decision.settings == {"second_look": {"max_label_noise": 0.05}}


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_a_record_of_before_schema_4_says_that_its_intervals_were_95_percent_ones(tmp_path, schema):
    workspace = Workspace(tmp_path)
    workspace.save(FILE, {"schema": schema, "policy": {"margin": 0.01, "min_class_support": 10}})
    assert read_decision(workspace).policy == {"margin": 0.01, "min_class_support": 10, "confidence": 0.975}


def test_a_damaged_record_says_nothing(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.save(FILE, {"accepted": True, "judged": 5})
    assert read_decision(workspace) == Decision()


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "two", None])
def test_a_record_of_a_newer_version_ends_the_round_before_anything_is_changed(tiny, schema):
    tiny.save(FILE, {"schema": schema})
    with pytest.raises(Problem, match=f"schema {schema!r}"):
        start_round(tiny, **PARAMETERS)


def test_a_record_of_a_newer_version_is_named_with_its_commit(tiny):
    tiny.save(FILE, {"schema": SCHEMA + 1})
    tiny.git("add", FILE)
    tiny.git("commit", "--quiet", "--message", "A newer version")
    commit = tiny.git("rev-parse", "HEAD").strip()
    with pytest.raises(Problem, match=commit[:7]):
        read_decision(tiny, commit)
