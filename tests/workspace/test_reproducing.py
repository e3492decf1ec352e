"""DVC runs the stages, and their code is found."""

import subprocess
import sys

import pytest

from helpers.pipeline.paths import MODEL
from helpers.problems import Problem
from helpers.workspace.stages import code_of_stages, reproduce


@pytest.mark.slow
def test_training_is_told_apart_from_nothing_to_do_and_from_what_dvc_remembers(tiny):
    assert reproduce(tiny) == "unchanged"
    params = tiny.root / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("epochs: 1", "epochs: 2"))
    assert reproduce(tiny) == "trained"
    params.write_text(before)
    assert reproduce(tiny) == "restored"


@pytest.mark.slow
def test_what_a_stage_prints_comes_through_line_by_line(tiny, capfd):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 2"))
    reproduce(tiny)
    said = capfd.readouterr().out
    assert said.index("epoch  1/2") < said.index("epoch  2/2") < said.index("held-out images")


@pytest.mark.slow
def test_a_stage_that_fails_says_why_and_leaves_the_old_model_in_place(tiny):
    model = (tiny.root / MODEL).read_bytes()
    stage = tiny.root / "helpers/pipeline/train.py"
    stage.write_text(stage.read_text().replace("def main() -> None:", "def main() -> None:\n    1 / 0"))
    with pytest.raises(Problem, match="ZeroDivisionError"):
        reproduce(tiny)
    assert (tiny.root / MODEL).read_bytes() == model


@pytest.mark.slow
def test_two_dvc_commands_at_once_are_a_clear_problem(tiny):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 50000"))
    with subprocess.Popen([sys.executable, "-m", "dvc", "repro"], cwd=tiny.root, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        while b"Running stage 'train'" not in first.stdout.readline():
            pass
        with pytest.raises(Problem, match="another DVC command is running"):
            reproduce(tiny)
        first.terminate()


@pytest.mark.slow
def test_dvc_is_found_without_an_activated_environment(tiny, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 2"))
    assert reproduce(tiny) == "trained"


def test_the_code_behind_the_model_is_found_without_that_of_stages_of_ones_own(tiny):
    stages = (tiny.root / "dvc.yaml").read_text()
    before = "  fetch:\n    cmd: make images\n    deps: [Makefile]\n    outs: [backbones/mine.onnx]\n"
    beside = "  check:\n    cmd: make lint\n    deps: [pyproject.toml, model/classifier.bentomodel]\n\nplots:"
    (tiny.root / "dvc.yaml").write_text(stages.replace("\nplots:", before + beside))
    assert {"dvc.yaml", "Makefile", "helpers/pipeline/network.py"} <= set(code_of_stages(tiny))
    assert not {"pyproject.toml", "data/raw", "data/prepared", "backbones"} & set(code_of_stages(tiny))


def test_stages_that_cannot_be_read_are_a_problem(tiny):
    (tiny.root / "dvc.yaml").write_text("stages: {prepare: {cmd: [}}")
    with pytest.raises(Problem, match=r"stages of dvc\.yaml"):
        code_of_stages(tiny)
