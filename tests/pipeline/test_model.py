"""The model file: the same bytes for the same classifier, nothing executable inside, no other file needed."""

import io
import json
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from pictures import table_of
from PIL import Image
from tiny_backbones import keep_data_elsewhere
from torch import nn

from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier, Description, load_classifier, save_classifier
from helpers.pipeline.network import build_network, export_network
from helpers.problems import Problem


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return build_network(channels=3, size=16, classes=3, width=4)


@pytest.fixture
def classifier() -> Classifier:
    description = Description(("Earth", "Möön", "a/b"), Input(16, "rgb"), trained_on={"images": 7})
    return Classifier(export_network(small_network(), 3, 16, 16), description)


@pytest.fixture
def pictures(tmp_path) -> pd.DataFrame:
    """Three files in a folder and their contents."""
    chance, files = np.random.default_rng(0), ["a.png", "sub/b.png", "c.png"]
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(chance.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(tmp_path / name)
    return table_of(tmp_path, files)


def test_a_loaded_model_predicts_like_the_saved_one(classifier, pictures, tmp_path):
    save_classifier(classifier, tmp_path / "new" / "classifier.bentomodel")
    loaded = load_classifier((tmp_path / "new" / "classifier.bentomodel").read_bytes())
    expected = classifier.predict(tmp_path, tmp_path, pictures)
    assert loaded.description == classifier.description
    assert loaded.version == classifier.version
    assert loaded.predict(tmp_path, tmp_path, pictures).equals(expected)
    assert list(expected.index) == list(pictures["file"])
    assert list(expected.columns) == ["Earth", "Möön", "a/b"]
    assert np.allclose(expected.sum(axis=1), 1)


def test_a_model_answers_whatever_the_code_of_the_network_has_become(pictures, tmp_path):
    """Its own graph, size and colours suffice: this network is none that `build_network` makes."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(24 * 24, 2))
    about = Description(("x", "y"), Input(24, "grey", mean=127.0, scale=128.0), temperature=2.0)
    save_classifier(Classifier(export_network(network, 1, 24, 24), about), tmp_path / "old.bentomodel")
    answers = load_classifier((tmp_path / "old.bentomodel").read_bytes()).predict(tmp_path, tmp_path, pictures)

    pixels = np.stack([Input(24, "grey").read(tmp_path / file) for file in pictures["file"]])
    with torch.no_grad():
        logits = network((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128)
    assert np.allclose(answers, (logits / 2).softmax(dim=1), atol=1e-5)


def test_files_and_arrays_are_seen_alike(classifier, pictures, tmp_path):
    pixels = np.stack([Input(16, "rgb").read(tmp_path / file) for file in pictures["file"]])
    assert np.array_equal(classifier.probabilities(pixels), classifier.predict(tmp_path, tmp_path, pictures))


def test_no_pictures_give_an_empty_table(classifier, pictures, tmp_path):
    assert classifier.predict(tmp_path, tmp_path, pictures[:0]).shape == (0, 3)


def test_saving_again_gives_the_same_bytes(classifier, tmp_path):
    for name in ("one", "two"):
        save_classifier(classifier, tmp_path / name / "classifier.bentomodel")
    one, two = ((tmp_path / name / "classifier.bentomodel").read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_version_changes_with_the_network_and_with_its_description(classifier):
    other = Classifier(export_network(build_network(3, 16, 3, width=5), 3, 16, 16), classifier.description)
    surer = replace(classifier, description=replace(classifier.description, temperature=0.5))
    assert len({classifier.version, other.version, surer.version}) == 3


def test_bentoml_itself_takes_the_file(classifier, tmp_path, monkeypatch, run):
    save_classifier(classifier, tmp_path / "classifier.bentomodel")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    result = run("bentoml", "models", "import", tmp_path / "classifier.bentomodel", cwd=tmp_path)
    assert classifier.version in result.stdout + result.stderr
    assert list((tmp_path / "store" / "models" / "classifier").glob(f"{classifier.version}/model.onnx"))


def test_saving_leaves_nothing_in_the_home_folder(classifier, tmp_path, plain_home):
    before = set(plain_home.rglob("*"))
    save_classifier(classifier, tmp_path / "classifier.bentomodel")
    assert set(plain_home.rglob("*")) == before


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:xz") as target:
        for name, data in members.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return file.getvalue()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


ABOUT = {"classes": ["a", "b", "c"], "image_size": 16, "colour": "rgb", "trained_on": {}}
GRAPH = export_network(small_network(), 3, 16, 16)


def changed(change) -> bytes:
    """The graph with something else in it."""
    model = onnx.load_model_from_string(GRAPH)
    change(model)
    return bytes(model.SerializeToString())


def hide_data_in_a_branch(model: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="hidden", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    branch = onnx.helper.make_graph([], "branch", [], [], [tensor])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))


def use_a_foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)
    last = model.graph.node[-1].output[0]
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Gelu", ["before"], [last], domain="com.microsoft"))


@pytest.mark.parametrize(
    ("about", "graph"),
    [
        ({}, GRAPH),
        (ABOUT, b""),
        (ABOUT, GRAPH[:-100]),
        (ABOUT, pickle.dumps(Bomb())),
        (pickle.dumps(Bomb()), GRAPH),
        (ABOUT | {"classes": ["a", "b"]}, GRAPH),
        (ABOUT | {"colour": "grey"}, GRAPH),
        (ABOUT | {"image_size": 10**9}, GRAPH),
        (ABOUT | {"scale": 0.0}, GRAPH),
        (ABOUT | {"temperature": "warm"}, GRAPH),
        (ABOUT | {"extra": 1}, GRAPH),
        (ABOUT, keep_data_elsewhere(GRAPH)),
        (ABOUT, changed(hide_data_in_a_branch)),
        (ABOUT, changed(use_a_foreign_operator)),
    ],
)
def test_a_hostile_file_is_refused_and_runs_nothing(about, graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(bytes(10_000))
    text = about if isinstance(about, bytes) else json.dumps(about).encode()
    with pytest.raises(Problem, match="the old model"):
        load_classifier(archive(**{"classifier.json": text, "model.onnx": graph}), "the old model")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("files", [{}, {"backbone.onnx": b""}, {"backbone.onnx": changed(use_a_foreign_operator)}])
def test_a_hostile_backbone_is_refused(files):
    about = json.dumps(ABOUT | {"features": "logits"}).encode()
    with pytest.raises(Problem, match="the old model"):
        load_classifier(archive(**{"classifier.json": about, "model.onnx": GRAPH, **files}), "the old model")


@pytest.mark.parametrize("file", [b"", b"not an archive", archive(), archive(**{"model.onnx": GRAPH})])
def test_a_file_that_lacks_something_is_refused(file):
    with pytest.raises(Problem, match="the old model"):
        load_classifier(file, "the old model")


def test_the_file_that_the_others_are_made_from_is_taken():
    load_classifier(archive(**{"classifier.json": json.dumps(ABOUT).encode(), "model.onnx": GRAPH}))
