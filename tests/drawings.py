"""Scores and figures of two models that never were, and their texts, for tests of figures."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.text import Text
from PIL import Image
from score_tables import POLICY, images, says
from sklearn.datasets import load_digits

from helpers.comparison.decision import Row
from helpers.comparison.scores import score_images
from helpers.comparison.tables import flips, per_class, summary
from helpers.figures import charts
from helpers.figures.style import Chart

EVIL = '<script>"x"</script>\udc80'
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [2.1, 0.9, 0.4],
        "accuracy": [0.3, 0.8, 0.9],
        "held_out_loss": [2.0, 1.0, 0.5],
        "held_out_accuracy": [0.35, 0.75, 0.875],
    }
)


def scores_of(actual: list[str], old: list[str] | None, new: list[str], confidence: float = 0.9) -> pd.DataFrame:
    """Both models' predictions for 0.png, 1.png and so on; every second image is frozen, the others are new."""
    held_out = images(actual).assign(file=[f"{number}.png" for number in range(len(actual))])
    classes = sorted({*actual, *(old or []), *new})
    return score_images(
        held_out,
        says(held_out, new, classes, confidence),
        says(held_out, old, classes, confidence) if old else None,
        held_out[::2],
    )


def many_scores(classes: list[str], images: int = 200) -> pd.DataFrame:
    """An old model that is right in about half of the images, a new one that is right in most."""
    chance = np.random.default_rng(0)
    actual, noise = chance.choice(classes, (2, images))
    old, new = (np.where(chance.random(images) < wrong, noise, actual) for wrong in (0.5, 0.2))
    return scores_of(actual.tolist(), old.tolist(), new.tolist())


def all_figures(scores: pd.DataFrame) -> dict[str, Chart]:
    labels = scores["actual"]
    balance = labels.value_counts().rename("after").to_frame().assign(before=3)
    return {
        "class_balance": charts.class_balance(balance[["before", "after"]]),
        "learning_curves": charts.learning_curves(HISTORY, HISTORY),
        "confusion_matrices": charts.confusion_matrices(scores),
        "per_class_change": charts.per_class_change(per_class(scores)),
        "difference": charts.difference(
            summary(scores, 0.95), POLICY.model_dump(), more=[Row("the data", 0.02, -0.01, 0.05)]
        ),
        "calibration": charts.calibration(scores),
    }


def flips_of(broken: int, fixed: int) -> pd.DataFrame:
    right, wrong = (["a"] * broken, ["b"] * broken), (["b"] * fixed, ["a"] * fixed)
    table = flips(scores_of(["a"] * (broken + fixed), right[0] + wrong[0], right[1] + wrong[1]))
    return table.assign(file=[f"{number % 200}.png" for number in range(len(table))])


def texts(figure: Chart) -> list[str]:
    """Every piece of text that can be seen."""
    drawn = [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return [figure.note, *drawn]


def write_digits(folder: Path) -> None:
    """Write two hundred real digits, 8 × 8 pixels, as 0.png to 199.png."""
    for number, pixels in enumerate(load_digits().images[:200]):
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(folder / f"{number}.png")


def lines_in(html: str) -> list[list[str]]:
    """The lines below each picture, as they are read."""
    captions = re.findall(r"<figcaption.*?>(.*?)</figcaption>", html)
    return [[re.sub("<.*?>", "", line) for line in caption.split("<br>")] for caption in captions]


def plan_of(**columns) -> pd.DataFrame:
    plan = {
        "action": "leave out",
        "status": "conflict",
        "source": "",
        "file": "a.png",
        "tasks": [(3, 4)],
        "annotators": [("1", "2")],
        "labels": [("Moon", "Mars")],
        "reason": "people disagree",
        "label": "Moon",
        "previous": "Mars/a.png",
        "destination": "",
    }
    return pd.DataFrame(plan | columns)
