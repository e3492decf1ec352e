"""Image sets at the edges of what people have: each ends with a report in which nothing warns."""

import colorsys
import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from notebook_runs import run_notebook
from PIL import Image

from examples.workspace import make_workspace
from helpers.workspace import Workspace

pytestmark = pytest.mark.slow


def picture(file: Path, hue: float, chance: np.random.Generator) -> None:
    colour = np.array(colorsys.hsv_to_rgb(hue, 0.8, 0.8)) * 255
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.clip(chance.normal(colour, 30, (40, 48, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(noise).save(file)


def make_set(folder: Path, trained: dict[str, int], labelled: dict[str, int]) -> Workspace:
    """A workspace whose classes differ by hue, with so many images of each class to train on and from a round."""
    names = sorted(trained | labelled)

    def write(root: Path) -> None:
        chance, rows = np.random.default_rng(0), []
        for label in names:
            hue = names.index(label) / len(names)
            for number in range(trained.get(label, 0)):
                picture(root / "data/raw" / label / f"{number}.png", hue, chance)
            for number in range(labelled.get(label, 0)):
                file = f"{names.index(label)}-{number}.png"
                picture(root / "extra-data" / file, hue, chance)
                rows.append({"data": {"image": f"/data/upload/1/01234567-{file}"}, "annotations": [annotate(label)]})
        (root / "extra-data/annotations.json").write_text(json.dumps(rows))

    make_workspace(folder / "set", write, "Train the baseline")
    return Workspace(folder / "set")


def annotate(label: str) -> dict[str, object]:
    value = {"choices": [label]}
    return {
        "result": [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}],
        "completed_by": 1,
        "updated_at": "2026-11-22T07:31:47.640255Z",
        "lead_time": 2.0,
    }


def retrain(workspace: Workspace, *options: str) -> list[nbformat.NotebookNode]:
    """Run the notebook headless, and return its cells."""
    result = run_notebook(workspace, "retrain.ipynb", *options)
    assert result.returncode == 0, result.stderr[-3000:]
    return list(nbformat.read(workspace.root / "out.ipynb", as_version=4).cells)


HUNDRED = {f"class number {number}": 12 for number in range(100)}


@pytest.mark.parametrize(
    ("trained", "labelled", "options"),
    [
        ({"cat": 12, "dog": 12}, {"cat": 8, "dog": 8}, []),
        (HUNDRED, dict.fromkeys(HUNDRED, 4), []),
        ({"cat": 30, "dog": 30, "unicorn": 1}, {"cat": 10, "dog": 10}, []),
        ({"cat": 30, "dog": 30}, {"cat": 10, "emu": 20}, ["-y", "new_classes: [emu]"]),
        (
            {"cat": 30, "dog": 30},
            {"emu": 20, "fox": 20, "gnu": 20, "hen": 1},
            ["-y", "new_classes: [emu, fox, gnu, hen]"],
        ),
    ],
    ids=["two classes of 20", "a hundred classes", "a class with one image", "a new class", "four new classes"],
)
def test_the_report_is_whole_and_without_a_warning(tmp_path, trained, labelled, options):
    workspace = make_set(tmp_path, trained, labelled)
    cells = retrain(workspace, *options)
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert not any(word in str(output) for output in outputs for word in ("Warning", "Traceback"))
    decision = json.loads((workspace.root / "evaluation/decision.json").read_text())
    assert decision["sentence"] in (workspace.root / "evaluation/report.md").read_text()
    merged = [path.parent.name for path in (workspace.root / "data/raw").glob("*/*.png")]
    assert {label: merged.count(label) for label in set(merged)} == {
        label: trained.get(label, 0) + labelled.get(label, 0) for label in trained | labelled
    }
