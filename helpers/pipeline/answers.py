"""The answers of a model: its probabilities for all classes, which ``evaluate`` records beside its predictions."""

from base64 import b64decode, b64encode
from contextlib import suppress

import numpy as np
import pandas as pd

from helpers.pipeline.cache import version_of_pixels
from helpers.pipeline.model import Classifier
from helpers.pipeline.paths import read_table


def record_answers(classifier: Classifier, images: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Return columns of a table with what `Classifier.predict` has answered for these images, bit for bit.

    They are ``sha256`` of the image, the versions of the ``model`` and of the ``pixels`` that it saw, and
    ``probabilities`` of all classes: little-endian float32 in Base64, since DVC's plots hold the whole table.
    """
    packed = [b64encode(row.tobytes()).decode() for row in answers.to_numpy("<f4")]
    versions = {"model": classifier.version, "pixels": version_of_pixels()}
    return images[["sha256"]].assign(**versions, probabilities=packed)


def read_answers(file: bytes | None, classifier: Classifier) -> pd.DataFrame:
    """Read the answers of a classifier: float32, index `sha256`, a column per class.

    A file that is missing or damaged, or that has none of this model and of today's pixels, holds no answers.
    """
    classes = list(classifier.description.classes)
    with suppress(Exception):  # a damaged file can fail in many ways
        table = read_table(file or b"")
        versions = table[["model", "pixels"]].drop_duplicates().to_numpy().tolist()
        answers = np.stack([np.frombuffer(b64decode(row, validate=True), "<f4") for row in table["probabilities"]])
        if versions == [[classifier.version, version_of_pixels()]] and np.allclose(answers.sum(axis=1), 1, atol=1e-3):
            return pd.DataFrame(answers, table["sha256"], classes)
    return pd.DataFrame(np.empty((0, len(classes)), np.float32), pd.Index([], dtype=str), classes)
