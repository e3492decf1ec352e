"""DVC runs a stage again when code changes that its result depends on, and not otherwise."""

import sys

import pytest
import yaml
from stages import PROJECT, run_stage


@pytest.mark.parametrize("stage", ["prepare", "train", "evaluate"])
def test_dvc_knows_the_code_of_each_stage(stage):
    """All modules of this project that a stage imports are its dependencies, but for those that only tell."""
    listing = (
        f"import sys, helpers.pipeline.{stage}; print(*(name for name in sys.modules if name.startswith('helpers.')))"
    )
    imported = run_stage(PROJECT, sys.executable, "-c", listing).stdout.split()
    parts = {f"helpers/{name.split('.')[1]}" for name in imported} - {"helpers/problems", "helpers/progress"}
    known = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"][stage]["deps"]
    assert parts
    assert parts == {dependency.removesuffix(".py") for dependency in known if dependency.startswith("helpers/")}


@pytest.mark.slow
def test_dvc_trains_again_when_the_code_of_the_pipeline_changes_and_no_other(tiny):
    def change(file: str) -> None:
        path = tiny.root / file
        path.write_text(path.read_text() + "# changed\n")

    change("helpers/comparison/__init__.py")
    (tiny.root / "helpers/pipeline/__pycache__").mkdir(exist_ok=True)
    (tiny.root / "helpers/pipeline/__pycache__/network.pyc").touch()
    assert tiny.reproduce() == "unchanged"
    change("helpers/pipeline/network.py")
    assert tiny.reproduce() == "trained"
    assert tiny.reproduce() == "unchanged"
