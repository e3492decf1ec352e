"""params.yaml: every setting is known and of its type; a missing one has its default."""

from pathlib import Path

import pytest
import yaml
from round_steps import decide

from helpers.comparison.policy import DecideParams
from helpers.pipeline.params import Params, PrepareParams, TrainParams, read_params, tell_gone
from helpers.pipeline.paths import HISTORY
from helpers.problems import Problem
from helpers.workspace.stages import reproduce

PARAMS = Path(__file__).parents[2] / "params.yaml"
SECTIONS: dict[str, type[Params]] = {"prepare": PrepareParams, "train": TrainParams, "decide": DecideParams}


def test_the_defaults_in_code_are_the_settings_of_the_template():
    settings = yaml.safe_load(PARAMS.read_text())
    assert {name: section().model_dump() for name, section in SECTIONS.items()} == {
        name: settings[name] for name in SECTIONS
    }


@pytest.mark.parametrize(
    ("section", "setting"), [(name, field) for name, section in SECTIONS.items() for field in section.model_fields]
)
def test_a_missing_setting_has_its_default(tmp_path, section, setting):
    settings = yaml.safe_load(PARAMS.read_text())
    default = settings[section].pop(setting)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    assert getattr(read_params(SECTIONS[section], tmp_path / "params.yaml"), setting) == default


@pytest.mark.parametrize("section", SECTIONS)
def test_an_empty_section_has_all_defaults(tmp_path, section):
    (tmp_path / "params.yaml").write_text(f"{section}:\n")
    assert read_params(SECTIONS[section], tmp_path / "params.yaml") == SECTIONS[section]()


def test_a_section_that_no_stage_names_may_be_missing(tmp_path):
    (tmp_path / "params.yaml").write_text("")
    assert read_params(DecideParams, tmp_path / "params.yaml") == DecideParams()


def test_all_wrong_settings_are_named_at_once(tmp_path):
    settings = yaml.safe_load(PARAMS.read_text())
    settings["train"] |= {"epohcs": 3, "batch_size": 0, "flip": "sometimes"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(Problem) as problem:
        read_params(TrainParams, tmp_path / "params.yaml")
    assert all(f"train.{name}" in str(problem.value) for name in ("epohcs: there is no such", "batch_size", "flip"))


def test_a_setting_of_an_earlier_version_stops_nothing_and_is_told(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("decide:\n  max_label_noise: 0.2\n  margin: 0.03\n")
    assert read_params(DecideParams, file) == DecideParams(margin=0.03)
    (sentence,) = tell_gone(file)
    assert sentence.startswith("decide.max_label_noise in params.yaml has no effect: `second_look.max_label_noise`")
    file.write_text("decide:\n")
    assert tell_gone(file) == []


@pytest.mark.parametrize("text", ["", "train: [", "train: 3", "prepare: {}", "- train"])
def test_a_file_without_the_section_is_a_problem(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(Problem, match="train"):
        read_params(TrainParams, tmp_path / "params.yaml")


@pytest.mark.slow
def test_a_missing_setting_stops_neither_dvc_nor_an_experiment_and_is_no_change(tiny):
    """It has its default, and `dvc exp run` changes those that are there."""
    (tiny.root / PARAMS.name).write_text("prepare:\ntrain:\n  epochs: 3\n  width: 2\n")
    assert reproduce(tiny) == "trained"
    (note,) = [note for note in decide(tiny).notes if "→" in note]
    assert note.startswith("Not only the data changed (train.epochs: 1 → 3):")
    tiny.dvc("exp", "run", "-S", "train.epochs=2", quiet=True)
    assert len((tiny.root / HISTORY).read_text().splitlines()) == 1 + 2
