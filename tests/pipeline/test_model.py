"""The model file: the same bytes for the same classifier, nothing executable inside, nothing left elsewhere."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save as save_tensors

from helpers.decode import read_pixels
from helpers.pipeline.model import Classifier, Description, load_classifier, save_classifier
from helpers.pipeline.network import build_network
from helpers.problems import Problem


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    description = Description(("Earth", "Möön", "a/b"), image_size=16, colour="rgb", width=4, trained_on={"images": 7})
    return Classifier(build_network(channels=3, classes=3, width=4).eval(), description)


@pytest.fixture
def pictures(tmp_path) -> list[str]:
    chance = np.random.default_rng(0)
    for name in ("a.png", "sub/b.png", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(chance.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(tmp_path / name)
    return ["a.png", "sub/b.png", "c.png"]


def test_a_loaded_model_predicts_like_the_saved_one(classifier, pictures, tmp_path):
    save_classifier(classifier, tmp_path / "new" / "classifier.bentomodel")
    loaded = load_classifier((tmp_path / "new" / "classifier.bentomodel").read_bytes())
    expected = classifier.predict(tmp_path, pictures)
    assert loaded.description == classifier.description
    assert loaded.version == classifier.version
    assert loaded.predict(tmp_path, pictures).equals(expected)
    assert list(expected.index) == pictures
    assert list(expected.columns) == ["Earth", "Möön", "a/b"]
    assert np.allclose(expected.sum(axis=1), 1)


def test_files_and_arrays_are_seen_alike(classifier, pictures, tmp_path):
    pixels = np.stack([read_pixels(tmp_path / file, 16, "rgb") for file in pictures])
    assert np.array_equal(classifier.probabilities(pixels), classifier.predict(tmp_path, pictures))


def test_no_pictures_give_an_empty_table(classifier, tmp_path):
    assert classifier.predict(tmp_path, []).shape == (0, 3)


def test_saving_again_gives_the_same_bytes(classifier, tmp_path):
    for name in ("one", "two"):
        save_classifier(classifier, tmp_path / name / "classifier.bentomodel")
    one, two = ((tmp_path / name / "classifier.bentomodel").read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_version_changes_with_the_weights(classifier):
    before = classifier.version
    with torch.no_grad():
        next(classifier.network.parameters()).add_(1e-3)
    assert classifier.version != before


def test_bentoml_itself_takes_the_file(classifier, tmp_path, monkeypatch, run):
    save_classifier(classifier, tmp_path / "classifier.bentomodel")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    result = run("bentoml", "models", "import", tmp_path / "classifier.bentomodel", cwd=tmp_path)
    assert classifier.version in result.stdout + result.stderr
    assert list((tmp_path / "store" / "models" / "classifier").glob(f"{classifier.version}/weights.safetensors"))


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


ABOUT = {"classes": ["a", "b"], "image_size": 16, "colour": "rgb", "width": 4, "trained_on": {}}
WEIGHTS = save_tensors({"weight": torch.zeros(3)})


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"not an archive",
        archive(),
        archive(**{"classifier.json": b"{}", "weights.safetensors": WEIGHTS}),
        archive(**{"classifier.json": json.dumps(ABOUT).encode(), "weights.safetensors": WEIGHTS}),
        archive(**{"classifier.json": json.dumps(ABOUT).encode(), "weights.safetensors": pickle.dumps(Bomb())}),
        archive(**{"classifier.json": pickle.dumps(Bomb()), "weights.safetensors": WEIGHTS}),
        archive(**{"classifier.json": json.dumps(ABOUT | {"width": 10**9}).encode(), "weights.safetensors": WEIGHTS}),
        archive(**{"classifier.json": json.dumps(ABOUT | {"extra": 1}).encode(), "weights.safetensors": WEIGHTS}),
    ],
)
def test_a_hostile_file_is_refused_and_runs_nothing(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Problem, match="the old model"):
        load_classifier(file, "the old model")
    assert not (tmp_path / "exploded").exists()
