"""Predictions for Label Studio's tasks, by the model of the last commit."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from helpers.label_studio.label_config import Control, find_control
from helpers.label_studio.task_images import Pictures
from helpers.pipeline.model import BATCH, Classifier, load_classifier
from helpers.problems import Problem
from helpers.workspace import MODEL, Workspace

PATIENCE = 60  # seconds for the pictures of a request; Label Studio waits 100 for the answer
PAUSE = 10  # seconds until a model that could not be read is tried again

logger = logging.getLogger(__name__)


class Model(NamedTuple):
    """A classifier, with the version that was computed when it was loaded."""

    classifier: Classifier
    version: str


class CommittedModel:
    """The model of the last commit; the one in the workspace may be a candidate, which nobody has accepted yet.

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._lock = workspace, Lock()
        self._commit, self._again = "", 0.0
        self.model: Model | None = None
        self.reason = ""  # why it is this model, or none, in a sentence

    def read(self) -> Model | None:
        """The model of today. The last good one answers while another request reads the next, and if that fails."""
        waiting = self.model and time.monotonic() < self._again
        if not waiting and self._lock.acquire(blocking=not self.model):
            try:
                self._look()
            finally:
                self._lock.release()
        return self.model

    def _look(self) -> None:
        try:
            commit = self._workspace.commit_of("HEAD")
            if commit != self._commit:
                content = self._workspace.read_at(commit, MODEL)
                if content is None:
                    raise Problem(f"The last commit, {commit[:7]}, has no model.")
                classifier = load_classifier(content, f"{MODEL} of {commit[:7]}")
                self.model, self._commit = Model(classifier, classifier.version), commit
            self.reason = f"It is the model of the last commit, {commit[:7]}. What no commit holds is not served."
        except Problem as problem:
            self._again = time.monotonic() + PAUSE
            self.reason = f"It is still the model of {self._commit[:7]}. {problem}" if self.model else str(problem)
            logger.warning("%r", problem)


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
