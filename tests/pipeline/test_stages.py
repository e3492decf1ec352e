"""The pipeline: what is held out stays held out, the same data gives the same model, broken pictures are named."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image, ImageDraw
from sklearn.metrics import classification_report

from helpers.pipeline.calibration import fit_temperature, score, temper
from helpers.pipeline.model import load_classifier, save_classifier
from helpers.pipeline.params import TrainParams
from helpers.pipeline.prepare import is_held_out
from helpers.pipeline.train import augment, calibrate

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes of 30 pictures, bright and dark, and settings for a quick training."""
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text())
    settings["train"] |= {"epochs": 2, "width": 4}
    settings["prepare"] |= {"image_size": 16}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    chance = np.random.default_rng(0)
    for label, brightness in (("bright", 200), ("dark", 50)):
        (tmp_path / "data/raw" / label).mkdir(parents=True)
        for number in range(30):
            pixels = chance.integers(brightness - 40, brightness + 40, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data/raw" / label / f"{number}.png")
    return tmp_path


def stage(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", f"helpers.pipeline.{name}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def index_of(folder: Path) -> pd.DataFrame:
    result = stage("prepare", folder)
    assert result.returncode == 0, result.stderr
    return pd.read_csv(folder / "data/prepared/index.csv", index_col="sha256")


def test_the_array_and_its_index_belong_together(folder):
    index = index_of(folder).reset_index()
    images = np.load(folder / "data/prepared/images.npy", mmap_mode="r")
    assert images.shape == (60, 16, 16, 3)
    assert images.dtype == np.uint8
    for number, row in index.iterrows():
        path = folder / "data/raw" / row["file"]
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["label"] == path.parent.name
        assert (images[number].mean() > 128) == (row["label"] == "bright")


def test_an_image_stays_on_its_side_when_data_grows_is_renamed_or_is_relabelled(folder):
    before = index_of(folder)["split"]
    assert set(before) == {"train", "held-out"}
    raw = folder / "data/raw"
    (raw / "bright/0.png").rename(raw / "dark/another name.png")
    for number in range(25):
        Image.new("RGB", (9, 9), (number * 10, 0, 0)).save(raw / "bright" / f"new-{number}.png")
    after = index_of(folder)["split"]
    assert len(after) == 85
    assert after[before.index].equals(before)


def test_the_share_and_the_choice_of_held_out_images_follow_the_settings():
    contents = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(10_000)]
    held_out = np.array([is_held_out(sha256, 42, 0.2) for sha256 in contents])
    other_seed = np.array([is_held_out(sha256, 43, 0.2) for sha256 in contents])
    larger = np.array([is_held_out(sha256, 42, 0.3) for sha256 in contents])
    assert held_out.mean() == pytest.approx(0.2, abs=0.02)
    assert (held_out & other_seed).mean() == pytest.approx(0.04, abs=0.01)
    assert larger[held_out].all()  # a larger share holds out more, and lets none go


def test_every_file_that_is_no_picture_is_named_and_nothing_is_written(folder):
    (folder / "data/raw/dark/empty.png").touch()
    (folder / "data/raw/bright/notes.txt").write_text("not a picture")
    whole = folder / "data/raw/dark/0.png"
    whole.write_bytes(whole.read_bytes()[:200])
    result = stage("prepare", folder)
    assert result.returncode == 1
    assert all(name in result.stderr for name in ("3 files", "empty.png", "notes.txt", "0.png", "an empty file"))
    assert "Traceback" not in result.stderr
    assert not (folder / "data/prepared").exists()


def test_hidden_files_are_no_pictures_to_train_on(folder):
    (folder / "data/raw/dark/.DS_Store").write_bytes(b"\0")
    assert len(index_of(folder)) == 60


def test_a_single_class_is_not_trained_on(folder):
    shutil.rmtree(folder / "data/raw/dark")
    result = stage("prepare", folder)
    assert result.returncode == 1
    assert "30 images of 1 classes" in result.stderr


def test_the_same_data_gives_the_same_model_and_scores_that_scikit_learn_confirms(folder):
    index = index_of(folder)
    models = []
    for _ in range(2):
        assert stage("train", folder).returncode == 0
        models.append((folder / "model/classifier.bentomodel").read_bytes())
    assert models[0] == models[1]
    classifier = load_classifier(models[0])
    about = classifier.description
    assert about.classes == ("bright", "dark")
    assert about.trained_on["images"] == (index["split"] == "train").sum()
    history = pd.read_csv(folder / "evaluation/history.csv")
    assert list(history["epoch"]) == [1, 2]

    assert stage("evaluate", folder).returncode == 0
    metrics = json.loads((folder / "evaluation/metrics.json").read_text())
    predictions = pd.read_csv(folder / "evaluation/predictions.csv")
    held_out = index[index["split"] == "held-out"]
    assert predictions[["file", "actual"]].to_numpy().tolist() == held_out[["file", "label"]].to_numpy().tolist()
    report = classification_report(predictions["actual"], predictions["predicted"], output_dict=True, zero_division=0.0)
    assert metrics["accuracy"] == pytest.approx((predictions["actual"] == predictions["predicted"]).mean())
    assert metrics["f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert metrics["per_class"]["dark"]["recall"] == pytest.approx(report["dark"]["recall"])
    assert history["held_out_accuracy"].iloc[-1] == pytest.approx(metrics["accuracy"], abs=1e-6)
    images = np.load(folder / "data/prepared/images.npy")[(index["split"] == "held-out").to_numpy()]
    calibrated = score(classifier.probabilities(images), held_out["label"].map(about.classes.index).to_numpy())
    assert calibrated["loss"] < history["held_out_loss"].iloc[-1]  # after the last epoch


def test_a_model_that_is_made_too_sure_is_judged_as_if_it_was_not(folder):
    """The model's temperature is fitted on the held-out images, so it must not show in their figures."""
    index_of(folder)
    assert stage("train", folder).returncode == 0
    found, path = [], folder / "model/classifier.bentomodel"
    for _ in range(2):
        assert stage("evaluate", folder).returncode == 0
        found.append(json.loads((folder / "evaluation/metrics.json").read_text()))
        found.append(pd.read_csv(folder / "evaluation/predictions.csv"))
        classifier = load_classifier(path.read_bytes())
        with torch.no_grad():
            for parameter in classifier.network[-1].parameters():
                parameter.mul_(3)
        save_classifier(classifier, path)
    metrics, predictions, metrics_again, predictions_again = found
    assert metrics_again["loss"] == pytest.approx(metrics["loss"], abs=1e-3)
    pd.testing.assert_frame_equal(predictions_again, predictions, atol=1e-3)


def test_drawings_on_a_transparent_ground_are_learnt(tmp_path):
    """Black discs and bars: all that tells them apart is where the picture is transparent."""
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    chance = np.random.default_rng(0)
    for label in ("bar", "disc"):
        (tmp_path / "data/raw" / label).mkdir(parents=True)
        for number in range(200):
            drawing, (x, y, r) = Image.new("RGBA", (32, 32)), chance.integers((8, 8, 4), (24, 24, 8)).tolist()
            if label == "disc":
                ImageDraw.Draw(drawing).ellipse((x - r, y - r, x + r, y + r), "black")
            else:
                ImageDraw.Draw(drawing).rectangle((x - 2 * r, y - r // 2, x + 2 * r, y + r // 2), "black")
            drawing.save(tmp_path / "data/raw" / label / f"{number}.png")
    index = index_of(tmp_path)
    assert stage("train", tmp_path).returncode == 0
    held_out = index[index["split"] == "held-out"]
    model = load_classifier((tmp_path / "model/classifier.bentomodel").read_bytes())
    predicted = model.predict(tmp_path / "data/raw", list(held_out["file"])).idxmax(axis=1)
    assert (predicted.to_numpy() == held_out["label"].to_numpy()).mean() >= 0.95


@pytest.mark.parametrize("exaggeration", [0.2, 5.0])
def test_calibration_mends_a_confidence_that_is_too_low_or_too_high(pristine, exaggeration):
    classifier = load_classifier((pristine / "model/classifier.bentomodel").read_bytes())
    index = pd.read_csv(pristine / "data/prepared/index.csv", dtype=str)
    held_out = index[index["split"] == "held-out"]
    images = np.load(pristine / "data/prepared/images.npy")[held_out.index]
    labels = held_out["label"].map(classifier.description.classes.index).to_numpy(copy=True)
    with torch.no_grad():
        for parameter in classifier.network[-1].parameters():
            parameter.mul_(exaggeration)
    before = classifier.probabilities(images)
    calibrate(classifier, images, labels)
    after = classifier.probabilities(images)

    def overconfidence(probabilities: np.ndarray) -> float:
        return float(probabilities.max(axis=1).mean() - (probabilities.argmax(axis=1) == labels).mean())

    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert score(after, labels)["loss"] < score(before, labels)["loss"]
    assert abs(overconfidence(after)) < abs(overconfidence(before))


@pytest.mark.parametrize("before", [0.2, 1.0, 3.0])
def test_the_fitted_temperature_gives_the_labels_the_least_smoothed_cross_entropy(before):
    chance = np.random.default_rng(0)
    truth = chance.dirichlet(np.ones(4), 300)
    labels = np.array([chance.choice(4, p=row) for row in truth])
    said = temper(truth, before)
    fitted = fit_temperature(said, labels)
    assert fitted * before == pytest.approx(fit_temperature(truth, labels), rel=1e-4)
    assert fitted * before == pytest.approx(1, abs=0.2)

    def loss(temperature: float) -> float:
        logits, target = torch.from_numpy(np.log(said) / temperature), torch.from_numpy(labels)
        return float(torch.nn.functional.cross_entropy(logits, target, label_smoothing=1 / 301))

    assert loss(fitted) < min(loss(0.99 * fitted), loss(1.01 * fitted))


def test_calibration_does_not_make_a_network_sure_that_was_never_seen_to_err(pristine):
    classifier = load_classifier((pristine / "model/classifier.bentomodel").read_bytes())
    images = np.load(pristine / "data/prepared/images.npy")[:20]
    labels = classifier.probabilities(images).argmax(axis=1)
    calibrate(classifier, images, labels)
    assert classifier.probabilities(images).max(axis=1).mean() < 1 - 1 / 100


def test_a_misspelt_setting_stops_the_stage_with_its_name(folder):
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text().replace("image_size", "image_sise"))
    result = stage("prepare", folder)
    assert result.returncode == 1
    assert "prepare.image_sise" in result.stderr


def test_several_processes_train_one_model(folder):
    index_of(folder)
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    command = ["torchrun", "--standalone", "--nproc-per-node=2", "-m", "helpers.pipeline.train"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("epoch  2/2") == 1
    assert load_classifier((folder / "model/classifier.bentomodel").read_bytes()).description.classes == (
        "bright",
        "dark",
    )


def settings(**changes: object) -> TrainParams:
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())["train"]
    return TrainParams(**(values | changes))


def test_shifting_moves_the_picture_by_whole_pixels_and_no_further():
    torch.manual_seed(0)
    image = torch.arange(400.0).reshape(1, 1, 20, 20).repeat(50, 2, 1, 1)
    moved = augment(image, settings(shift=0.1, flip=False))
    offsets = moved[:, 0, 10, 10] - image[:, 0, 10, 10]
    allowed = {20.0 * down + right for down in range(-2, 3) for right in range(-2, 3)}
    assert set(offsets.tolist()) <= allowed
    assert len(set(offsets.tolist())) > 10
    assert torch.equal(moved[:, 0], moved[:, 1])


def test_mirroring_happens_to_half_of_the_pictures_and_only_if_asked():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 8, 8).repeat(200, 1, 1, 1)
    assert torch.equal(augment(image, settings(shift=0.0, flip=False)), image)
    mirrored = (augment(image, settings(shift=0.0, flip=True)) == image.flip(3)).all(dim=(1, 2, 3))
    assert 60 < mirrored.sum() < 140
