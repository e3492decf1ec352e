"""The scenes of images that wait for labels come from a list beside them, or else from the workspace."""

import pandas as pd
import pytest

from extras.label_studio.scenes import name_images
from helpers.problems import Problem
from helpers.scenes import write_scenes

FILES = pd.Series({"a" * 64: "day/cam1_1.png", "b" * 64: "cam1_2.png", "c" * 64: "map.png", "d" * 64: "cam2_1.png"})


@pytest.fixture
def root(tmp_path):
    for file in FILES:
        (tmp_path / "new" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "new" / file).touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "params.yaml").write_text("prepare:\n")
    return tmp_path


def test_a_list_beside_the_images_names_their_scenes(root):
    (root / "new/scenes.csv").write_text("file,scene\nday/cam1_1.png,monday\ncam1_2.png,NA\nmap.png,\n")
    assert name_images(root, root / "new", FILES) == ["monday", "NA", "", ""]


def test_what_the_list_does_not_name_the_workspace_does(root):
    (root / "new/scenes.csv").write_text("file,scene\ncam1_2.png,monday\n")
    (root / "params.yaml").write_text("prepare:\n  scene: '^(.+?)_\\d+\\.png$'\n")
    write_scenes(root / "data/scenes.csv", {"c" * 64: "atlas"})
    assert name_images(root, root / "new", FILES) == ["cam1", "monday", "atlas", "cam2"]


def test_nothing_names_scenes(root):
    assert name_images(root, root / "new", FILES) == [""] * 4


@pytest.mark.parametrize(
    ("text", "said"),
    [("name,scene\nmap.png,x\n", "columns are file and scene"), ("file,scene\nmp.png,x\n../x.png,y\n", "not there")],
)
def test_a_list_that_cannot_be_used_is_a_problem(root, text, said):
    (root / "new/scenes.csv").write_text(text)
    with pytest.raises(Problem, match=said) as problem:
        name_images(root, root / "new", FILES)
    assert "x.png" not in said or len(problem.value.details) == 2
