"""Predictions for Label Studio's tasks, by the model of the last commit."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np

from extras.backend.task_images import TaskImages
from extras.label_studio.fields import BLIND, is_blind
from extras.label_studio.label_config import find_control
from helpers.pipeline.model import Classifier
from helpers.problems import Problem
from helpers.round.past import load_committed
from helpers.workspace import Workspace

PATIENCE = 85  # seconds for the images of a request; Label Studio waits 100 for the answer
PAUSE = 10  # seconds until a model that could not be read is tried again

logger = logging.getLogger(__name__)
one_at_a_time = Lock()  # a network uses all cores, and several at once would only take more memory


class CommittedModel:
    """The model of the last commit; the one in the workspace may be a candidate, which nobody has accepted yet."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._lock = workspace, Lock()
        self._commit, self._again = "", 0.0
        self.model: Classifier | None = None
        self.reason = ""  # why it is this model, or none, in a sentence

    def read(self) -> Classifier | None:
        """The model of today. The last good one answers while another request reads the next, and if that fails."""
        waiting = self.model and time.monotonic() < self._again
        if waiting or not self._lock.acquire(blocking=not self.model):
            return self.model
        try:
            commit = self._workspace.commit_of("HEAD")
            if commit != self._commit:
                self.model, self._commit = load_committed(self._workspace, commit), commit
            self.reason = f"It is the model of the last commit, {commit[:7]}. A model without a commit is not served."
        except Problem as problem:
            self._again = time.monotonic() + PAUSE
            self.reason = f"It is still the model of {self._commit[:7]}. {problem}" if self.model else str(problem)
            logger.warning("%r", problem)
        finally:
            self._lock.release()
        return self.model


def predict(
    model: Classifier, tasks: Sequence[Mapping[str, object]], label_config: str, task_images: TaskImages
) -> list[dict[str, Any]]:
    """Make a prediction of Label Studio for each task's image; `tasks` are their data.

    It is empty where people label blind or the configuration lacks the predicted class. Label Studio never asks again
    then. In place of the others it gets an `error`, of which it stores nothing: so it asks for their images again.
    """
    about, deadline = model.description, time.monotonic() + PATIENCE
    # Without a score, Label Studio sorts a task behind all others; 0 would put it before the least certain ones.
    predictions: list[dict[str, Any]] = [{"result": [], "score": None, "model_version": model.version} for _ in tasks]
    control = find_control(label_config, set(about.classes))
    if not control:
        logger.warning("No <Choices> of the project has a class of the model: %s", ", ".join(about.classes))
        return predictions
    asked = [number for number, task in enumerate(tasks) if not is_blind(task.get(BLIND))]
    for start in range(0, len(asked), about.input.batch):
        numbers = asked[start : start + about.input.batch]
        images = [tasks[number].get(control.image_key) for number in numbers]
        pixels = {}
        for number, image, read in zip(numbers, images, task_images.read(images, about.input, deadline), strict=True):
            if isinstance(read, Exception):
                logger.warning("No prediction for %.200r: %.500r", image, read)
                predictions[number] = {"error": f"{image!s:.200}: {read!s:.500}"}
            else:
                pixels[number] = read
        if not pixels:
            continue
        with one_at_a_time:
            rows = model.probabilities(np.stack(list(pixels.values())))
        for number, row in zip(pixels, rows, strict=True):
            label, score = about.classes[row.argmax()], float(row.max())
            if label in control.classes and math.isfinite(score):
                predictions[number] = control.prediction(label, score, model.version)
    return predictions
