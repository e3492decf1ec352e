"""Public sets of small pictures, as tables of pixels, for simulations with cheap learners."""

import gzip
from subprocess import CalledProcessError

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmarks.photographs import fetch_debian

DataSet = tuple[np.ndarray, np.ndarray]  # pixels, 0 to 1: [images, pixels]; classes, 0 to 9: [images]


def digits() -> DataSet:
    """1,797 handwritten digits of 8 × 8 pixels."""
    pixels, classes = load_digits(return_X_y=True)
    return pixels / 16, classes


def garments(width: int = 14) -> DataSet:
    """6,000 pictures of Fashion-MNIST, of 14 × 14 or 7 × 7 pixels; the test is skipped where there are none."""
    try:
        root = fetch_debian("dataset-fashion-mnist")
    except (CalledProcessError, OSError):
        pytest.skip("Fashion-MNIST cannot be downloaded")
    labels, pixels = (gzip.decompress(next(root.rglob(f"train-{part}*")).read_bytes()) for part in ("labels", "images"))
    pictures = (
        np.frombuffer(pixels, np.uint8, offset=16)
        .reshape(-1, width, 28 // width, width, 28 // width)[:6000]
        .mean(axis=(2, 4))
    )
    return pictures.reshape(6000, -1) / 255, np.frombuffer(labels, np.uint8, offset=8)[:6000]
