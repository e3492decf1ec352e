"""params.yaml: every setting is known, there, and of its type."""

from pathlib import Path

import pytest
import yaml

from helpers.pipeline.params import PrepareParams, TrainParams, read_params
from helpers.problems import Problem

PARAMS = Path(__file__).parents[2] / "params.yaml"


def test_the_projects_own_settings_are_read():
    assert read_params(PrepareParams, PARAMS).image_size == yaml.safe_load(PARAMS.read_text())["prepare"]["image_size"]
    assert read_params(TrainParams, PARAMS).launcher == "python"


def test_all_wrong_settings_are_named_at_once(tmp_path):
    settings = yaml.safe_load(PARAMS.read_text())
    settings["train"] |= {"epohcs": 3, "batch_size": 0, "flip": "sometimes"}
    del settings["train"]["width"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(Problem) as problem:
        read_params(TrainParams, tmp_path / "params.yaml")
    assert all(f"train.{name}" in str(problem.value) for name in ("epohcs", "batch_size", "flip", "width"))


@pytest.mark.parametrize("text", ["", "train: [", "train: 3", "prepare: {}"])
def test_a_file_without_the_section_is_a_problem(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(Problem, match="train"):
        read_params(TrainParams, tmp_path / "params.yaml")
