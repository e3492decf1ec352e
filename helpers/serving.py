"""Predictions for Label Studio's tasks, by the model that is on disk at that moment."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from helpers.classifier import BATCH, Classifier, load_classifier
from helpers.label_config import Control, find_control
from helpers.pictures import Pictures
from helpers.problems import Problem

PATIENCE = 60  # seconds for the pictures of a request; Label Studio waits 100 for the answer

logger = logging.getLogger(__name__)


class Model(NamedTuple):
    """A classifier, with the version that was computed when it was loaded."""

    classifier: Classifier
    version: str


class ModelFile:
    """The model on disk, read anew when its file changes.

    Parameters
    ----------
    path : Path
    in_flux : callable
        Tells whether the file may be a candidate that is not accepted yet; then the model at hand stays.
    """

    def __init__(self, path: Path, in_flux: Callable[[], bool]) -> None:
        self._path, self._in_flux = path, in_flux
        self._seen: tuple[int, ...] = ()
        self._lock = Lock()
        self.model: Model | None = None

    def read(self) -> Model | None:
        """The model of today. The last good one answers while DVC has removed the file, or writes it."""
        with self._lock:
            try:
                status = self._path.stat()
                found = (status.st_mtime_ns, status.st_size, status.st_ino)
                if found != self._seen and not (self.model and self._in_flux()):
                    self._seen = found
                    classifier = load_classifier(self._path.read_bytes(), str(self._path))
                    self.model = Model(classifier, classifier.version)
            except (OSError, Problem) as error:
                if not isinstance(error, FileNotFoundError):
                    logger.warning("%r", error)
            return self.model


def predict(
    model: Model, tasks: Sequence[Mapping[str, object]], label_config: str, pictures: Pictures
) -> list[dict[str, Any]]:
    """Predict the class of each task's image.

    Parameters
    ----------
    model : Model
    tasks : sequence of mapping
        The tasks' data.
    label_config : str
        The labelling configuration of their project.
    pictures : Pictures

    Returns
    -------
    list of dict
        A prediction of Label Studio for each task: ``result``, ``score`` and ``model_version``. The result is empty
        where the picture cannot be read and where the configuration does not have the predicted class.

    Raises
    ------
    Problem
        The labelling configuration is not to be read.
    """
    about, deadline = model.classifier.description, time.monotonic() + PATIENCE
    control = find_control(label_config, set(about.classes))
    if not control:
        logger.warning("No <Choices> of the project has a class of the model: %s", ", ".join(about.classes))
        return [_prediction(model, None, None) for _ in tasks]
    predictions = []
    for start in range(0, len(tasks), BATCH):
        images = [task.get(control.image_key) for task in tasks[start : start + BATCH]]
        pixels = pictures.read(images, about.image_size, about.colour, deadline)
        readable = [one for one in pixels if one is not None]
        rows = iter(model.classifier.probabilities(np.stack(readable)) if readable else ())
        predictions += [_prediction(model, control, None if one is None else next(rows)) for one in pixels]
    return predictions


def _prediction(model: Model, control: Control | None, probabilities: np.ndarray | None) -> dict[str, Any]:
    # Without a score, Label Studio sorts a task behind all others; 0 would put it before the least certain ones.
    prediction: dict[str, Any] = {"result": [], "score": None, "model_version": model.version}
    if control and probabilities is not None:
        best = int(probabilities.argmax())
        label, score = model.classifier.description.classes[best], float(probabilities[best])
        if label in control.classes and math.isfinite(score):
            prediction |= {"result": control.result(label, score), "score": score}
    return prediction
