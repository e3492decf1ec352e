"""The effect of chance is measured where it is quick, and once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from round_steps import plan_sample

from extras import chance
from extras.chance import find_chance, measure_chance
from helpers.pipeline.paths import INDEX, RAW, TRAINING_SECONDS
from helpers.round.comparing import compare_models
from helpers.round.merging import merge_round
from helpers.round.verdict import decide_round
from helpers.workspace import DECISION
from helpers.workspace.stages import reproduce


class InThisProcess(ThreadPoolExecutor):
    """Trains without the seconds that a process of its own takes to start."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(max_workers=1)


def test_three_other_seeds_train_on_the_old_data_where_that_is_quick_and_once(tiny, monkeypatch):
    def err_as_often_as_the_seed_is_above_42(root, index, like, images, params):
        assert all((root / RAW / file).is_file() for file in index["file"])
        assert index["split"].value_counts().to_dict() == {"train": 17, "held-out": 7}
        return np.where(np.arange(len(images)) < params.seed - 42, "wrong", compared.scored["actual"])

    monkeypatch.setattr(chance, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(chance, "train_and_predict", err_as_often_as_the_seed_is_above_42)
    compared, index = compare_models(tiny), tiny.root / INDEX
    (tiny.raw / "dark/0.png").rename(tiny.raw / "dark/renamed.png")
    index.write_text(index.read_text().replace("dark/0.png", "dark/renamed.png"))
    assert measure_chance(tiny, compared, 0) is None
    changes = measure_chance(tiny, compared, -1)
    old_accuracy = compared.summary["old"]["together", "accuracy"]
    assert changes == pytest.approx([1 - errors / 7 - old_accuracy for errors in (1, 2, 3)])

    tiny.save(DECISION, {"model": compared.new, "baseline_commit": compared.baseline, "seed_noise": [0.1] * 3})
    assert measure_chance(tiny, compared, -1) == [0.1] * 3
    tiny.save(DECISION, {"model": "another", "baseline_commit": compared.baseline, "seed_noise": [0.1] * 3})
    assert measure_chance(tiny, compared, -1) == changes
    (tiny.root / TRAINING_SECONDS).write_text("21.0")
    assert measure_chance(tiny, compared, -1) is None
    assert measure_chance(tiny, compared, 1) == pytest.approx([1 - 1 / 7 - old_accuracy])


@pytest.mark.slow
def test_the_effect_of_other_seeds_is_measured_once(sample, monkeypatch):
    plan, export = plan_sample(sample), sample.root / "extra-data/annotations.json"
    merge_round(sample, plan, export)
    reproduce(sample)
    compared = compare_models(sample)
    assert measure_chance(sample, compared, 0) is None
    changes = measure_chance(sample, compared, -1)
    assert changes
    assert len(changes) == 3
    assert any(changes)
    decision = decide_round(sample, compared, export, plan, {"chance": find_chance(sample, compared, 3)})
    assert decision.findings["chance"] == changes
    assert any("Other seeds alone" in note for note in decision.notes)
    monkeypatch.setattr("extras.chance.ProcessPoolExecutor", None)
    assert measure_chance(sample, compared, -1) == changes
    (sample.root / DECISION).unlink()
    (sample.root / TRAINING_SECONDS).write_text("21.0")
    assert measure_chance(sample, compared, -1) is None
    notes = find_chance(sample, compared, -1).notes
    assert any("not measured" in note and "control_seeds" in note for note in notes)
