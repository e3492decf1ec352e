"""How often a new model is accepted, by its true change of accuracy, for sets and models of many kinds."""

import time
from pathlib import Path

import numpy as np
from scipy.stats import norm

from helpers.comparison.policy import DecideParams
from helpers.comparison.statistics import find_fallen, tango

IMAGES = (60, 150, 300, 1000, 5000)
CLASSES = (2, 10, 30, 100)
CHURN = (0.01, 0.03, 0.06)  # the share of images that only the old model gets right; as many that only the new one does
CHANGES = (-0.05, -0.02, -0.01, -0.005, 0.0, 0.005, 0.01, 0.02, 0.05)
POLICY = DecideParams()


def draw_flips(
    chance: np.random.Generator, draws: int, images: int, classes: int, churn: float, change: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw comparisons: the support of each class and its fixed and broken images, int [draws, classes]."""
    fixed, broken = churn + max(change, 0), churn + max(-change, 0)
    support = np.full((draws, classes), images // classes)
    lost = chance.binomial(support, broken)
    return support, chance.binomial(support - lost, fixed / (1 - broken)), lost


def passes_margin(support: np.ndarray, fixed: np.ndarray, broken: np.ndarray) -> np.ndarray:
    """Apply the rule `margin` to each draw."""
    z = tango(fixed.sum(axis=1), broken.sum(axis=1), support.sum(axis=1), -POLICY.margin)
    return z > norm.ppf(POLICY.confidence)


def passes_classes(support: np.ndarray, fixed: np.ndarray, broken: np.ndarray) -> np.ndarray:
    """Apply the rule `classes` to each draw."""
    draws = zip((fixed - broken) / support, fixed, broken, strict=True)
    return np.array([not find_fallen(*draw, POLICY.max_class_drop).any() for draw in draws])


def acceptance(images: int, classes: int, churn: float, change: float, draws: int = 1000) -> float:
    """Return the share of draws in which both rules pass."""
    flips = draw_flips(np.random.default_rng(1), draws, images, classes, churn, change)
    return float((passes_margin(*flips) & passes_classes(*flips)).mean())


def main(_: Path) -> None:
    """Print a row for each number of images, classes and flips."""
    started = time.perf_counter()
    heading = "".join(f"{100 * change:+6.1f}" for change in CHANGES)
    print(f"Accepted, in %, by the true change in points:\nimages classes  churn{heading}")
    for images in IMAGES:
        for classes in (number for number in CLASSES if images >= 2 * number):
            for churn in CHURN:
                draws = 1000 if classes < max(CLASSES) else 300
                row = (acceptance(images, classes, churn, change, draws) for change in CHANGES)
                print(f"{images:6} {classes:7} {churn:6.0%}" + "".join(f"{100 * share:6.0f}" for share in row))
    print(f"{time.perf_counter() - started:.0f} s")
