"""Rounds and a backbone: when it is advised, how a round begins to use one, and how it is kept."""

import pandas as pd
import pytest
from PIL import Image
from round_steps import PARAMETERS, decide
from tiny_backbones import tiny_graph, write_backbone

from helpers.pipeline.backbone import advise_backbone
from helpers.pipeline.paths import METRICS
from helpers.problems import Problem
from helpers.round.declining import remember_workspace
from helpers.round.publishing import publish_round
from helpers.round.start import start_round
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce


@pytest.mark.slow
def test_a_round_may_begin_to_use_a_backbone(tiny):
    params = tiny.root / "params.yaml"
    setting = write_backbone(tiny.root)
    tiny.dvc("add", setting, quiet=True)
    params.write_text(params.read_text().replace("backbone: none", f"backbone: {setting}"))
    start_round(tiny, **PARAMETERS)
    remember_workspace(tiny)
    assert reproduce(tiny) == "trained"
    decision = decide(tiny)
    assert any(f"none → {setting}" in note for note in decision.notes)
    publish_round(tiny, pd.DataFrame({"action": ["add"]}), decision, anyway="a test")
    tiny.git("clone", "--quiet", str(tiny.root.with_name("demo.git")), str(tiny.root.with_name("colleague")))
    colleague = Workspace(tiny.root.with_name("colleague"))
    colleague.dvc("pull", quiet=True)
    assert (colleague.root / setting).read_bytes() == tiny_graph()
    assert reproduce(colleague) == "unchanged"


def test_a_backbone_that_cannot_be_used_is_said_at_the_start(tiny):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("backbone: none", f"backbone: {write_backbone(tiny.root, b'')}"))
    with pytest.raises(Problem, match=r"backbones/tiny\.onnx"):
        start_round(tiny, **PARAMETERS)


@pytest.mark.parametrize(
    ("size", "accuracy", "backbone", "advised"),
    [
        (200, 0.6, "none", True),
        (64, 0.6, "none", False),
        (200, 0.93, "none", False),
        (200, 0.6, "backbones/a.onnx", False),
    ],
)
def test_a_backbone_is_advised_where_the_small_network_fails_on_large_pictures(tiny, size, accuracy, backbone, advised):
    for file in tiny.raw.glob("*/*.png"):
        file.unlink()  # DVC's cache may be linked to it
        Image.new("RGB", (size, size // 2)).save(file)
    tiny.save(METRICS, {"accuracy": accuracy})
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("backbone: none", f"backbone: {backbone}"))
    sentence = advise_backbone(tiny.root)
    assert bool(sentence) == advised
    if advised:
        assert "60%" in sentence
        assert "make backbone" in sentence
