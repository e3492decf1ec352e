"""The effect of chance is measured where it is quick, and once."""

import pytest
from rounds import plan_sample

from helpers.pipeline.paths import TRAINING_SECONDS
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.seed_noise import measure_seed_noise
from helpers.round.verdict import decide_round
from helpers.workspace import DECISION


@pytest.mark.slow
def test_the_effect_of_other_seeds_is_measured_once(sample, monkeypatch):
    merge_round(sample, plan_sample(sample), sample.root / "extra-data/annotations.json")
    sample.reproduce()
    compared = compare_models(sample)
    assert measure_seed_noise(sample, compared, 0) is None
    changes = measure_seed_noise(sample, compared, -1)
    assert changes
    assert len(changes) == 3
    assert any(changes)
    decision = decide_round(sample, compared, sample.root / "extra-data/annotations.json", None, changes)
    assert decision["seed_noise"] == changes
    assert any("Other seeds alone" in note for note in decision["notes"])
    monkeypatch.setattr("helpers.round.seed_noise.ProcessPoolExecutor", None)
    assert measure_seed_noise(sample, compared, -1) == changes
    (sample.root / DECISION).unlink()
    (sample.root / TRAINING_SECONDS).write_text("21.0")
    assert measure_seed_noise(sample, compared, -1) is None
    notes = decide_round(sample, compared, sample.root / "extra-data/annotations.json")["notes"]
    assert any("not measured" in note and "control_seeds" in note for note in notes)
