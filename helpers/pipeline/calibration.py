"""Score class probabilities, and calibrate them."""

from collections.abc import Iterable

import numpy as np

SMALLEST = float(np.finfo(np.float32).tiny)  # a probability that was rounded to 0 has a finite logarithm


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return class probabilities [N, classes] of logits [N, classes]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the cross-entropy in nats and the accuracy of probabilities [N, classes] against class numbers [N]."""
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1).astype(np.float64)
    return {
        "loss": float(-np.log(of_label.clip(SMALLEST)).mean()),
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return class probabilities [N, classes] as if the logits had been divided by `temperature`."""
    powers = (probabilities / probabilities.max(axis=1, keepdims=True)) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature with which a confidence of 80 % means right 8 times in 10.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599) minimises the cross-entropy of the labels. They are smoothed
    by the weight of one image (Platt 1999), or a model without errors would be made ever surer. The result is within
    0.01..100, and 1 without images.
    """
    if not len(labels):
        return 1.0
    probabilities = probabilities.astype(np.float64).clip(SMALLEST)
    logs = np.log(probabilities)
    smoothing = 1 / (len(labels) + 1)
    of_labels = np.take_along_axis(logs, labels[:, None], axis=1)
    reached = (1 - smoothing) * of_labels.mean() + smoothing * logs.mean()
    # The cross-entropy has one minimum: where the model expects the log-probability that the labels reach.
    low, high = 0.01, 100.0
    for _ in range(20):
        temperature = (low * high) ** 0.5
        expected = (apply_temperature(probabilities, temperature) * logs).sum(axis=1).mean()
        if expected > reached:  # too sure
            low = temperature
        else:
            high = temperature
    return temperature


def cross_fit(probabilities: np.ndarray, labels: np.ndarray, sha256: Iterable[str]) -> np.ndarray:
    """Give each half of the images the temperature that is fitted on the other half, and return float64 [N, classes].

    A model's own temperature was fitted on held-out images and would flatter it there. The new fit replaces it and
    changes no prediction. `probabilities` are [N, classes]; `labels` are class numbers [N], -1 for images that take no
    part in the fit; `sha256` of the image files decides the halves. If one half has no images to fit on, the other
    keeps its probabilities.
    """
    probabilities = probabilities.astype(np.float64)
    # Use the last digit: the first ones decide which pictures are labelled at random; both halves need some of those.
    half = np.array([int(digest[-1], 16) % 2 for digest in sha256], dtype=int)
    judged = np.empty_like(probabilities)
    for this in (0, 1):
        other = (half != this) & (labels >= 0)
        temperature = fit_temperature(probabilities[other], labels[other])
        judged[half == this] = apply_temperature(probabilities[half == this], temperature)
    return judged
