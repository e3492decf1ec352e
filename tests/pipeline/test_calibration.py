"""Probabilities are scored as they should be, and a fitted temperature makes them as sure as they are right."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from helpers.pipeline.calibration import apply_temperature, cross_fit, fit_temperature, score
from helpers.pipeline.dataset import Dataset
from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier, Description, load_classifier, save_classifier
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.train import train

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 600 digits, and their labels; the last 300 are held out."""
    images, labels = load_digits(return_X_y=True)
    pictures = (images[:600] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    return pictures.repeat(2, axis=1).repeat(2, axis=2), labels[:600]


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory) -> Path:
    """A model file of a network that errs now and then."""
    images, labels = digits
    index = pd.DataFrame({"label": labels.astype(str), "split": ["train"] * 300 + ["held-out"] * 300})
    description = Description(tuple("0123456789"), Input(16, "grey"))
    params = read_params(TrainParams, PARAMS).model_copy(update={"epochs": 4, "width": 8})
    classifier, _ = train(Dataset(images, description.input, params), index, description)
    path = tmp_path_factory.mktemp("model") / "classifier.bentomodel"
    save_classifier(classifier, path)
    return path


@pytest.fixture
def classifier(model) -> Classifier:
    return load_classifier(model.read_bytes())


def test_loss_and_accuracy_of_known_probabilities():
    probabilities = np.array([[0.5, 0.5, 0], [0.1, 0.8, 0.1], [0, 0, 1]], dtype=np.float32)
    result = score(probabilities, np.array([0, 1, 1]))
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert np.isfinite(result["loss"])
    assert score(probabilities[:2], np.array([0, 1]))["loss"] == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)


@pytest.mark.parametrize("exaggeration", [0.2, 5.0])
def test_calibration_mends_a_confidence_that_is_too_low_or_too_high(digits, classifier, exaggeration):
    images, labels = digits[0][300:], digits[1][300:]
    before = apply_temperature(classifier.probabilities(images), 1 / exaggeration)
    after = apply_temperature(before, fit_temperature(before, labels))

    def overconfidence(probabilities: np.ndarray) -> float:
        return float(probabilities.max(axis=1).mean() - (probabilities.argmax(axis=1) == labels).mean())

    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert score(after, labels)["loss"] < score(before, labels)["loss"]
    assert abs(overconfidence(after)) < abs(overconfidence(before))


def test_a_trained_model_has_the_temperature_that_its_held_out_images_ask_for(digits, classifier):
    images, labels = digits[0][300:], digits[1][300:]
    assert classifier.description.temperature != 1
    assert fit_temperature(classifier.probabilities(images), labels) == pytest.approx(1, rel=1e-3)


def test_calibration_does_not_make_a_model_sure_that_was_never_seen_to_err(digits, classifier):
    said = classifier.probabilities(digits[0][:20])
    assert apply_temperature(said, fit_temperature(said, said.argmax(axis=1))).max(axis=1).mean() < 1 - 1 / 100


def test_each_half_is_judged_with_the_temperature_of_the_other_half():
    chance = np.random.default_rng(0)
    said = chance.dirichlet(np.ones(4), 200)
    first = np.arange(200) % 2 == 0
    # The model is right in the first half and guesses in the other; some images take no part in the fit.
    labels = np.where(first, said.argmax(axis=1), chance.integers(4, size=200))
    fit = np.arange(200) < 180
    judged = cross_fit(said, np.where(fit, labels, -1), [f"{number:064x}" for number in range(200)])
    for half in (first, ~first):
        temperature = fit_temperature(said[~half & fit], labels[~half & fit])
        assert judged[half] == pytest.approx(apply_temperature(said[half], temperature))
    assert judged[first].max(axis=1).mean() < said[first].max(axis=1).mean() < judged[~first].max(axis=1).mean()


@pytest.mark.parametrize("before", [0.2, 1.0, 3.0])
def test_the_fitted_temperature_gives_the_labels_the_least_smoothed_cross_entropy(before):
    chance = np.random.default_rng(0)
    truth = chance.dirichlet(np.ones(4), 300)
    labels = np.array([chance.choice(4, p=row) for row in truth])
    said = apply_temperature(truth, before)
    fitted = fit_temperature(said, labels)
    assert fitted * before == pytest.approx(fit_temperature(truth, labels), rel=1e-4)
    assert fitted * before == pytest.approx(1, abs=0.2)

    def loss(temperature: float) -> float:
        logits, target = torch.from_numpy(np.log(said) / temperature), torch.from_numpy(labels)
        return float(torch.nn.functional.cross_entropy(logits, target, label_smoothing=1 / 301))

    assert loss(fitted) < min(loss(0.99 * fitted), loss(1.01 * fitted))
