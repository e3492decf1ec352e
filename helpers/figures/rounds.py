"""Charts of a model's past and future: the accuracy after each round, and after rounds to come."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from helpers.comparison.forecast import describe_outlook, extrapolate
from helpers.comparison.statistics import wilson
from helpers.comparison.words import percent
from helpers.figures.charts import PERCENT, make_panels
from helpers.figures.style import NEW, PALE, QUIET, Chart, label_text, styled


@styled
def story(rounds: pd.DataFrame) -> Chart | None:
    """Show the accuracy of each model by its number of training images, from `helpers.round.story.read_rounds`."""
    known = rounds.dropna(subset=["training_images", "accuracy"])
    if len(known) < 2:
        return None
    images, accuracy = known["training_images"].astype(float), known["accuracy"].astype(float)
    before, now = percent(accuracy.iloc[0]), percent(accuracy.iloc[-1])
    change = "rose" if accuracy.iloc[-1] > accuracy.iloc[0] else "fell"
    title = f"Accuracy stayed at {now}" if before == now else f"Accuracy {change} from {before} to {now}"
    title += f" with {images.iloc[-1]:,.0f} training images, {images.iloc[0]:,.0f} at the start"
    note = "Lines: 95 % intervals. Each model on the images that were held out when it was trained."
    refused = known["published_because"].notna()
    if refused.any():
        note += " Rings: published, although not accepted."

    figure, (axes,) = make_panels(1, 2.9, title, note)
    axes.plot(images, accuracy, color=QUIET, lw=1, zorder=1)
    _mark_models(axes, images, accuracy, known["low"], known["high"], refused)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")

    # Name the models from the last one back, where there is room.
    free = float("inf")
    for name, x, high in zip(known["name"][::-1], images[::-1], known["high"][::-1], strict=True):
        if abs(free - x) > (images.max() - images.min()) / 20:
            text = label_text(name.removeprefix("model/"))
            axes.annotate(text, (x, high), (0, 3), textcoords="offset points", ha="center", size=8)
            free = x
    return figure


@styled
def outlook(answers: pd.DataFrame, margin: float) -> Chart:
    """Show the accuracy that twice and four times as many training images would bring; see `describe_outlook`."""
    forecast = extrapolate(answers)
    note = "Lines and band: 95 % intervals, without the effect of chance on training. Today's model, in blue, and "
    note += "models that were trained on parts of its training images predict the same held-out images."

    figure, (axes,) = make_panels(1, 3.2, describe_outlook(answers, forecast, margin), note)
    right = answers.drop(columns="actual").eq(answers["actual"], axis=0)
    models, today = right.columns.astype(int), right.iloc[:, -1].mean()
    _mark_models(axes, models, right.mean(), *wilson(right.sum(), len(right)))
    ahead = []
    if forecast is not None:
        images, curves = models[-1] * forecast.index, (forecast + today).clip(upper=1)
        axes.plot(images, curves["gain"], color=QUIET, lw=1, zorder=2)
        axes.fill_between(images, curves["low"], curves["high"], where=images >= models[-1], color=PALE, lw=0)
        ahead, gains = [2 * models[-1], 4 * models[-1]], curves["gain"].loc[[2, 4]]
        axes.scatter(ahead, gains, 70, facecolor="none", edgecolor=NEW, zorder=3)
        for x, accuracy in zip(ahead, gains, strict=True):
            axes.annotate(percent(accuracy), (x, accuracy), (0, -15), textcoords="offset points", ha="center", size=8)
    axes.set_xscale("log")
    axes.set_xticks([*models, *ahead], [f"{x:,}" for x in [*models, *ahead]])
    axes.minorticks_off()
    return figure


def _mark_models(
    axes: Axes, images: Any, accuracy: pd.Series, low: pd.Series, high: pd.Series, refused: Iterable[bool] = ()
) -> None:
    """Mark the accuracy of models with its interval: the last in the new model's colour, `refused` ones as rings."""
    past = len(accuracy) - 1
    colours = [QUIET] * past + [NEW]
    axes.vlines(images, low, high, color=colours, lw=1.5)
    faces = ["none" if ring else colour for colour, ring in zip_longest(colours, refused)]
    axes.scatter(images, accuracy, [30] * past + [70], facecolor=faces, edgecolor=colours, zorder=3)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("training images")
    axes.grid(axis="y")
