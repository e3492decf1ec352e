"""DVC runs a stage again when code changes that its result depends on, and not otherwise."""

import sys

import pytest
import yaml
from stages import PROJECT, run_stage

from helpers.pipeline.stage import TELLERS
from helpers.workspace.stages import dvc_status, reproduce

STAGES = {
    name: {file for file in stage["deps"] if file.endswith(".py")}
    for name, stage in yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"].items()
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_each_file_of_code_that_decides_its_output_and_no_other(stage):
    """All that it imports are its dependencies, but for those that only tell."""
    listing = (
        f"import pathlib, helpers.pipeline.{stage}; from helpers.pipeline.stage import list_own_code;"
        "print(*list_own_code(pathlib.Path.cwd()))"
    )
    result = run_stage(PROJECT, sys.executable, "-c", listing)
    assert set(result.stdout.split()) == STAGES[stage]


def test_a_stage_that_uses_code_unknown_to_dvc_says_so_before_it_begins(tiny):
    """DVC would not notice when the code changes, nor a round that it is not committed."""
    (tiny.root / "helpers/pipeline/layers.py").touch()
    with (tiny.root / "helpers/pipeline/network.py").open("a") as file:
        file.write("import helpers.pipeline.layers\n")
    before = (tiny.root / "model/classifier.bentomodel").read_bytes()
    result = run_stage(tiny.root, sys.executable, "-m", "helpers.pipeline.train")
    assert result.returncode == 1
    assert "  - helpers/pipeline/layers.py\n" in result.stderr
    assert "network.py" not in result.stderr
    assert (tiny.root / "model/classifier.bentomodel").read_bytes() == before


@pytest.mark.slow
def test_a_comment_runs_only_the_stages_again_whose_output_the_file_decides(tiny):
    def comment(file: str) -> set[str]:
        path = tiny.root / file
        text = path.read_text()
        path.write_text(text + "# changed\n")
        said = dvc_status(tiny)
        path.write_text(text)
        return {line.removesuffix(":") for line in said if line.removesuffix(":") in STAGES}

    files = {*TELLERS, "helpers/pipeline/launch.py", "helpers/comparison/decision.py"}.union(*STAGES.values())
    changed = {file: comment(file) for file in sorted(files)}
    assert changed == {file: {name for name, code in STAGES.items() if file in code} for file in files}
    assert changed["helpers/pipeline/network.py"] == {"train"}
    assert changed["helpers/pipeline/backbone.py"] == {"train", "evaluate"}


@pytest.mark.slow
def test_another_network_is_trained_once(tiny):
    network = tiny.root / "helpers/pipeline/network.py"
    network.write_text(network.read_text() + "# changed\n")
    assert reproduce(tiny) == "trained"
    assert reproduce(tiny) == "unchanged"
