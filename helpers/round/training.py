"""Retrain while a person watches: the held-out curve grows over that of the old model."""

import math
import re
import time
from contextlib import suppress
from html import escape
from io import BytesIO
from statistics import median

import pandas as pd

from helpers.comparison.words import count_of, percent
from helpers.decode import open_image
from helpers.figures.style import NEW
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import HISTORY, INDEX, METRICS, PARAMS, read_table
from helpers.problems import Problem
from helpers.progress import Output, is_watched
from helpers.workspace import Workspace

# The line that the stage `train` prints after an epoch.
EPOCH = re.compile(r"epoch +(\d+)/(\d+) .*held-out accuracy ([\d.]+)%  ([\d.]+) s$")
LARGE, ENOUGH = 96, 0.9  # pixels, and the accuracy below which a backbone may do better
WIDTH, HEIGHT, LEFT, EDGE = 640, 160, 45, 20  # of the curves, in CSS pixels


def retrain(workspace: Workspace, baseline: str) -> str:
    """Run the stages whose inputs changed, and return the state of the model; see `Workspace.reproduce`.

    Where a person watches, a curve over that of the model at `baseline` takes the place of a line for each epoch.
    """
    if not is_watched():
        return workspace.reproduce()
    history = None
    with suppress(Problem):  # it is lost, which the comparison does not mind
        history = workspace.read_at(baseline, HISTORY)
    curve = LiveCurve(pd.read_csv(BytesIO(history))["held_out_accuracy"].tolist() if history else [])
    try:
        return workspace.reproduce(curve.tell)
    finally:
        curve.end()


class LiveCurve(Output):
    """An output that shows how far a training is, over the accuracies of the `old` model; it ends as a sentence."""

    def __init__(self, old: list[float]) -> None:
        self._old, self._new, self._sentence = old, list[float](), ""
        self._seconds, self._drawn = 0.0, -math.inf

    def tell(self, line: str) -> None:
        """Draw the epoch that a line of the training is about, at most once a second; print any other line."""
        if not (found := EPOCH.match(line)):
            print(line)
            return
        epoch, epochs = int(found[1]), int(found[2])
        self._new.append(float(found[3]) / 100)
        self._seconds += float(found[4])
        old = f", the old model ended at {percent(self._old[-1])}" if self._old else ""
        self._sentence = f"Epoch {epoch} of {epochs}: {percent(self._new[-1])} of the held-out images right{old}."
        if epoch == epochs or time.monotonic() - self._drawn >= 1:
            seconds = self._seconds / epoch * (epochs - epoch)
            left = count_of(round(seconds / 60), "minute") if seconds > 90 else count_of(round(seconds), "second")
            caption = f"{self._sentence} About {left} left." if seconds >= 1 else self._sentence
            self.show({"text/html": draw_curves(self._new, self._old, epochs, caption), "text/plain": caption})
            self._drawn = time.monotonic()

    def end(self) -> None:
        """Leave the last sentence: the comparison draws the finished curves."""
        if self._sentence:
            self.show({"text/plain": self._sentence})


def draw_curves(new: list[float], old: list[float], epochs: int, caption: str) -> str:
    """Draw the accuracy after each epoch of both trainings as an SVG, in the colours of the page around it."""
    last, lowest = max(epochs, len(old), 2), min(0.9, math.floor(10 * min(new + old)) / 10)

    def height(accuracy: float) -> float:
        return EDGE + (HEIGHT - 2 * EDGE) * (1 - accuracy) / (1 - lowest)

    def draw(curve: list[float], name: str, colour: str, offset: int) -> str:
        if not curve:
            return ""
        places = [
            (LEFT + (WIDTH - LEFT - EDGE) * epoch / (last - 1), height(share)) for epoch, share in enumerate(curve)
        ]
        x, y = places[-1]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        return (
            f'<polyline points="{path}" fill="none" stroke="{colour}"/>'
            f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
            f'<text x="{x}" y="{y + offset}" fill="{colour}" text-anchor="middle">{name}</text>'
        )

    lines = "".join(
        f'<path d="M{LEFT},{height(share):.1f}H{WIDTH - EDGE}" stroke="currentColor" opacity="0.25"/>'
        f'<text x="{LEFT - 8}" y="{height(share) + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>'
        for share in (lowest, 1)
    )
    return (
        f'<p>{escape(caption)}</p><svg role="img" aria-label="{escape(caption)}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'style="width: 100%; max-width: {WIDTH}px; font-size: 12px; fill: currentColor; stroke-width: 2">'
        f"{lines}{draw(old, 'old', 'grey', 16)}{draw(new, 'new', NEW, -8)}</svg>"
    )


def describe_training(became: str) -> str:
    """Put the result of `Workspace.reproduce` into a sentence."""
    return {
        "trained": "The model was trained anew.",
        "restored": "The model comes from DVC's cache: it was trained on these images with these settings before.",
        "unchanged": "Nothing changed since the last training: nothing to train.",
    }[became]


def advise_backbone(workspace: Workspace) -> str:
    """Return advice to use a backbone, where the small network fails on large pictures; empty elsewhere."""
    params = read_params(TrainParams, workspace.root / PARAMS)
    accuracy = float(workspace.load(METRICS)["accuracy"])
    if params.backbone != "none" or accuracy >= ENOUGH:
        return ""
    index = read_table((workspace.root / INDEX).read_bytes())
    sides = []
    for file in index.loc[index["split"] == "held-out", "file"].head(100):
        with open_image(workspace.raw / file) as image:
            sides.append(max(image.size))
    if median(sides) <= LARGE:
        return ""
    return (
        f"The small network gets {accuracy:.0%} of the held-out images right, which are larger than {LARGE} pixels. If "
        "they are photographs, a pretrained backbone sees more in them: `make backbone` writes one; then set "
        "`train.backbone` in params.yaml. It costs some 5 ms for each new image, once, and 13 MB in each model's file."
    )
