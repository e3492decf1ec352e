"""Rounds of images that come in scenes: nothing can be learnt from scenes with random labels, and no figure says so."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from round_steps import PLANETS, decide, plan_label, plan_round, publish, tree_of

from examples.workspace import make_workspace
from helpers.comparison.statistics import wilson
from helpers.labels import read_export
from helpers.pipeline.paths import INDEX, METRICS, PARAMS, SCENES, read_table
from helpers.problems import EndOfRun
from helpers.round.comparing import compare_models
from helpers.round.declining import decline_round
from helpers.round.merging import end_without_labels, merge_round
from helpers.round.publishing import publish_round
from helpers.round.state import find_state
from helpers.round.verdict import _note_missing_scenes
from helpers.scenes import read_scenes, write_scenes
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce

FRAMES = r"^(.+?)[-_ ]+\d+\.\w+$"
CLASSES = "abcde"
CHANCE = 1 / len(CLASSES)


def write_scenes_with_random_labels(root: Path) -> None:
    """A hundred scenes of ten frames in data/raw, and sixty more in extra-data with an export of their labels."""
    chance = np.random.default_rng(0)
    tasks: list[dict[str, Any]] = []
    for scene in range(160):
        label, is_old = CLASSES[chance.integers(5)], scene < 100
        small = Image.fromarray(chance.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        base = np.asarray(small.resize((40, 40), Image.Resampling.BICUBIC), dtype=float)
        for frame in range(10):
            down, right = chance.integers(0, 8, 2)  # a camera that moves a little
            pixels = base[down : down + 32, right : right + 32] * chance.uniform(0.8, 1.2)
            pixels += chance.normal(0, 6, pixels.shape)
            path = root / ("data/raw" if is_old else "extra-data") / label / f"cam{scene}_{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
            if not is_old:
                row = {"image": f"/data/local-files/?d={label}/{path.name}", "id": len(tasks), "choice": label}
                stamp = "2026-01-05T09:00:00.000000Z"
                row |= {"annotator": 1, "annotation_id": len(tasks), "created_at": stamp, "updated_at": stamp}
                tasks.append(row | {"lead_time": 2.5})
    (root / "extra-data/annotations.json").write_text(json.dumps(tasks))


@pytest.fixture(scope="module")
def pristine_frames(once, plain_home) -> Path:
    return once("frames", lambda folder: make_workspace(folder / "demo", write_scenes_with_random_labels, "x")) / "demo"


@pytest.fixture
def of_frames(pristine_frames, tmp_path) -> Workspace:
    shutil.copytree(pristine_frames.parent, tmp_path / "frames", symlinks=True)
    return Workspace(tmp_path / "frames" / "demo")


def set_pattern(workspace: Workspace, pattern: str) -> None:
    params = workspace.load(PARAMS)
    params["prepare"]["scene"] = pattern
    (workspace.root / PARAMS).write_text(yaml.safe_dump(params))


@pytest.mark.slow
def test_where_no_scene_is_named_the_figures_lie_and_the_card_warns_with_a_pattern(of_frames):
    assert of_frames.load(METRICS)["accuracy"] > 0.9
    warning = compare_models(of_frames).warning
    assert warning.startswith("These images seem to come in scenes, so that every figure here may flatter")
    assert f"`scene: '{FRAMES}'` under `prepare` in params.yaml names 100 scenes" in warning


@pytest.mark.slow
def test_a_published_project_turns_scenes_on_and_goes_on(of_frames):
    set_pattern(of_frames, FRAMES)
    assert reproduce(of_frames) == "trained"

    # Held-out scenes are new to the model, and their labels are random.
    metrics, index = of_frames.load(METRICS), read_table((of_frames.root / INDEX).read_bytes())
    held_out = index[index["split"] == "held-out"]
    assert index.groupby("scene")["split"].nunique().eq(1).all()
    scenes = held_out["scene"].nunique()
    low, high = wilson(metrics["accuracy"] * scenes, scenes)
    assert low < CHANCE < high

    # The old model was trained on nearly all of these scenes: nothing can be compared, and the decision says why.
    decision = decide(of_frames)
    assert decision.sentence.startswith(f"Undecided: 0 of {len(held_out)} held-out images of {scenes} scenes can be")
    assert any("prepare.scene: none → " in note for note in decision.notes)
    assert any(note.startswith("1,000 images of the old model belong to another scene now") for note in decision.notes)
    publish_round(of_frames, pd.DataFrame({"action": []}), decision, anyway="scenes are named from now on")

    # The next round is compared with that model, on scenes that were held out then, and on new ones.
    export = of_frames.root / "extra-data/annotations.json"
    merge_round(of_frames, plan_round(of_frames, read_export(export)), export)
    reproduce(of_frames)
    decision = decide(of_frames)
    assert not any("another scene" in note or "params" in note for note in decision.notes)
    together = decision.accuracy
    assert together
    assert (together["images"], together["scenes"]) == (10 * together["scenes"], of_frames_scored(of_frames))
    assert decision.verdict == "undecided"


def of_frames_scored(workspace: Workspace) -> int:
    index = read_table((workspace.root / INDEX).read_bytes())
    return int(index.loc[index["split"] == "held-out", "scene"].nunique())


def name_of(image: str) -> str:
    """The made-up scene of a planet: what the pattern of the next test finds in its name."""
    found = re.search(PLANET_SCENES, re.sub(r"^[0-9a-f]{8}-", "", image.rpartition("/")[2]))
    assert found
    return found[1]


PLANET_SCENES = r"^(\w+_\d|\w\w)\w*\.jpg$"


def add_scenes(export: Path, target: Path) -> None:
    """Copy an export, with the field `site` in the data of each task."""
    if export.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(export.read_text(), newline="")))
        with target.open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted([*rows[0], "site"]), quoting=csv.QUOTE_NONNUMERIC)
            writer.writeheader()
            writer.writerows(row | {"site": name_of(row["image"])} for row in rows)
        return
    tasks = json.loads(export.read_text())
    for task in tasks:
        data: dict[str, Any] = task.get("data", task)
        data["site"] = name_of(data["image"])
    # In JSON-MIN, the data come before the id.
    rows = [task if "data" in task else {"site": task["site"]} | task for task in tasks]
    target.write_text(json.dumps(rows))


@pytest.mark.slow
def test_scenes_by_field_and_by_pattern_are_the_same_in_all_formats(planets, tmp_path):
    export = PLANETS / "exports/round2.JSON.json"
    fields = {}
    for form in ("JSON.json", "JSON_MIN.json", "CSV.csv"):
        add_scenes(PLANETS / f"exports/round2.{form}", tmp_path / form)
        fields[form] = plan_round(planets, read_export(tmp_path / form, scene_key="site"))
    merge_round(planets, plan_round(planets, read_export(export)), export)
    assert read_scenes(planets.scenes) == {}

    # By pattern.
    set_pattern(planets, PLANET_SCENES)
    planets.dvc("repro", "prepare", quiet=True)
    by_pattern = (planets.root / INDEX).read_bytes()
    index = read_table(by_pattern)
    assert index["scene"].nunique() > 200
    assert index.groupby("scene")["split"].nunique().eq(1).all()

    # By field: the images that were not labelled here have a recorded scene.
    set_pattern(planets, "none")
    labelled = set(fields["JSON.json"].loc[fields["JSON.json"]["scene"].ne(""), "sha256"])
    own = index[~index["sha256"].isin(labelled)]
    for plan in fields.values():
        write_scenes(planets.scenes, dict(zip(own["sha256"], own["scene"], strict=True)))
        merge_round(planets, plan, export)
        planets.dvc("repro", "prepare", quiet=True)
        assert (planets.root / INDEX).read_bytes() == by_pattern


def test_a_round_that_names_scenes_alone_is_one_and_can_be_declined(tiny):
    Image.new("L", (8, 8), 77).save(tiny.root / "extra-data/picture.png")
    export, monday = tiny.root / "extra-data/annotations.json", 5
    merge_round(tiny, plan_label(tiny, "dark", monday), export)
    tiny.dvc("commit", "--force", quiet=True)
    publish(tiny)
    before = tree_of(tiny)

    named = plan_label(tiny, "dark", monday, scene="cam3")
    assert named["action"].tolist() == ["keep"]
    merge_round(tiny, named, export)
    assert list(read_scenes(tiny.scenes).values()) == ["cam3"]
    assert find_state(tiny) == "open"
    merge_round(tiny, plan_label(tiny, "dark", monday, scene="cam4"), export)  # the first name stays
    assert list(read_scenes(tiny.scenes).values()) == ["cam3"]

    decline_round(tiny)
    assert tree_of(tiny) == before


def test_new_images_without_a_scene_are_told_where_the_others_have_one():
    def index(*scenes: str, start: int = 0) -> pd.DataFrame:
        sha256 = [f"{number:064x}" for number in range(start, start + len(scenes))]
        named = [scene or content for scene, content in zip(scenes, sha256, strict=True)]
        return pd.DataFrame({"sha256": sha256, "scene": named})

    old = index("a", "a", "b", "")
    (note,) = _note_missing_scenes(old, pd.concat([old, index("", "", "c", start=10)]))
    assert note.startswith("2 of 3 new images belong to no named scene, although most others do")
    for new in (index("c", "c", "", start=10), index("c", "", start=10), index()):
        assert _note_missing_scenes(old, pd.concat([old, new])) == []
    alone = index("a", "", "", "")
    assert _note_missing_scenes(alone, pd.concat([alone, index("", start=10)])) == []
    assert _note_missing_scenes(old, index("", "").drop(columns="scene")) == []


@pytest.mark.slow
def test_a_run_that_nobody_watches_goes_on_if_it_names_scenes(tiny, monkeypatch):
    Image.new("L", (8, 8), 77).save(tiny.root / "extra-data/picture.png")
    merge_round(tiny, plan_label(tiny, "dark", 5), tiny.root / "extra-data/annotations.json")
    tiny.dvc("commit", "--force", quiet=True)
    publish(tiny)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("helpers.round.merging.started_by", lambda: "CI")
    end_without_labels(tiny, plan_label(tiny, "dark", 5, scene="cam3"))
    with pytest.raises(EndOfRun):
        end_without_labels(tiny, plan_label(tiny, "dark", 5))


@pytest.mark.slow
def test_scenes_are_committed_with_the_round(tiny):
    Image.new("L", (8, 8), 77).save(tiny.root / "extra-data/picture.png")
    merge_round(tiny, plan_label(tiny, "dark", 5, scene="cam3"), tiny.root / "extra-data/annotations.json")
    tiny.dvc("commit", "--force", quiet=True)
    publish(tiny)
    assert tiny.git("show", f"HEAD:{SCENES}") == tiny.scenes.read_text()
    assert tiny.scenes.read_text().endswith(",cam3\n")
    assert tiny.changes(SCENES) == []
