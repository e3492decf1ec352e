"""Forecast the accuracy that more labels bring: extend the trend of models that learnt from parts of today's images."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from helpers.comparison.counting import design_effect
from helpers.comparison.statistics import wilson
from helpers.comparison.words import percent, points
from helpers.figures.charts import make_panels, mark_models
from helpers.figures.style import NEW, PALE, QUIET, Chart, styled
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import INDEX, MODEL, PARAMS, RAW, read_table
from helpers.pipeline.trial import train_and_predict
from helpers.progress import progress_bar

PARTS = 8, 4, 2, 1  # an eighth of the training images, a quarter, a half, all
RATIOS = 2 ** np.linspace(-3, 2, 41)  # an eighth of today's number of training images to four times as many
EXPONENTS = np.linspace(0, 2, 401).clip(1e-6)  # 0 itself would tell nothing of a
RESAMPLES = 300
FEWEST_HELD_OUT = 50  # of fewer, all may be right although the model errs in 7 % of cases


def subsample(index: pd.DataFrame, part: int) -> pd.Series:
    """Return the split with one of `part` training images, the others ``left out``; a smaller part is in a larger one.

    Their content decides, hashed again: the first digits of its hash choose the pictures to label at random. Where
    images have scenes, it is their scene, so that a part has whole scenes.
    """
    scenes = index.get("scene", index["sha256"])[index["split"] == "train"]
    digests = scenes.map(lambda scene: hashlib.sha256(f"{scene}:forecast".encode()).hexdigest())
    last = digests.sort_values().iloc[max(1, len(digests) // part) - 1]
    return index["split"].mask(index.index.isin(digests.index[digests > last]), "left out")


def drop_poor_models(answers: pd.DataFrame) -> pd.DataFrame:
    """Drop the models before the law begins, whose error is over half of that of guessing the commonest label.

    Models of fewer images go with them; today's, the last, stays.
    """
    guessing = 1 - answers["actual"].value_counts(normalize=True).max()
    errors = answers.drop(columns="actual").ne(answers["actual"], axis=0).mean()
    earlier = errors.iloc[:-1]
    poor = earlier.index[earlier > guessing / 2]
    return answers.drop(columns=earlier.loc[: poor[-1]].index) if len(poor) else answers


def fit_law(ratios: np.ndarray, errors: np.ndarray, spread: np.ndarray, offset: bool = True) -> tuple[float, float]:
    """Fit ``error = a * ratio ** -b + c`` by weighted least squares, through the last error, and return a and b.

    The error falls so with more training images (Hestness et al. 2017, arXiv 1712.00409). However many there are, the
    part `c` of today's error stays; without `offset` it is 0. `ratios`, shape (N,), are numbers of training images
    divided by the last, today's; `errors` are shares of the held-out images, and `spread` their standard errors.
    """
    today, above, weights = errors[-1], errors - errors[-1], spread**-2
    falls = ratios ** -EXPONENTS[:, np.newaxis] - 1  # down to today's error for a = 1, by each exponent: [exponents, N]
    if offset:
        a = (falls @ (weights * above) / (falls**2 @ weights)).clip(0, today)  # the best one for each exponent
    else:
        a = np.full(len(EXPONENTS), today)
    best = ((a[:, np.newaxis] * falls - above) ** 2 @ weights).argmin()
    return a[best], EXPONENTS[best]


def extrapolate(answers: pd.DataFrame) -> pd.DataFrame | None:
    """Extend the trend in the table of `learn_from_parts` to four times as many training images.

    A row for each of `RATIOS` (the index) from the first model on: the `gain` in accuracy over today's, and a 90 %
    band, `low` to `high`, of what the next training shows on the same held-out images. Resampling their scenes gives
    the uncertainty of the trend; the share of images that exactly one of the last two models gets right stands for the
    chance of the next training. None without a trend: there are fewer than two models, or today's makes no mistake.

    With this project's network, twice and four times as many images fell into the band in 8 of 8 splits of digits each
    (320 training images), and in 7 of 8 of Fashion-MNIST (500).
    """
    wrong = answers.drop(columns="actual").ne(answers["actual"], axis=0)
    if len(wrong.columns) < 2 or not wrong.iloc[:, -1].any():
        return None
    ratios = wrong.columns.to_numpy(dtype=float) / wrong.columns[-1]
    table, images, chance = wrong.to_numpy(), len(wrong), np.random.default_rng(0)
    scene, _ = pd.factorize(wrong.index)
    members = np.split(np.argsort(scene, kind="stable"), np.cumsum(np.bincount(scene))[:-1])  # rows of each scene
    smoothed = (table.sum(axis=0) + 1) / (images + 2)  # a model without mistakes has a spread, too
    spread = np.sqrt(smoothed * (1 - smoothed) / images)
    shown = RATIOS[ratios[0] <= RATIOS]

    # Few models hardly tell an offset from a steeper fall, and two not at all: fit with and without it.
    offsets = (True, False) if len(ratios) > 2 else (False,)
    gains = []
    draws = (chance.integers(len(members), size=len(members)) for _ in range(RESAMPLES))
    for sample in [table, *(table[np.concatenate([members[one] for one in draw])] for draw in draws)]:
        laws = [fit_law(ratios, sample.mean(axis=0), spread, offset) for offset in offsets]
        gains.append([a * (1 - shown**-b) for a, b in laws])
    gain, bounds = np.mean(gains[0], axis=0), np.quantile(gains[1:], [0.025, 0.975], axis=(0, 1))
    changed = table[:, -2] * 1.0 - table[:, -1]
    flips, independent = np.abs(changed).mean(), images / design_effect(changed, wrong.index)
    low, high = ndtri(0.95) * np.sqrt(((bounds - gain) / ndtri(0.975)) ** 2 + 1.5 * flips / independent)
    return pd.DataFrame({"gain": gain, "low": gain - low, "high": gain + high}, index=shown)


def describe_outlook(answers: pd.DataFrame, forecast: pd.DataFrame | None) -> str:
    """Say how accurate the model may be with twice as many training images; `forecast` is that of `extrapolate`."""
    images, right = len(answers), answers.iloc[:, -1].eq(answers["actual"]).mean()
    unknown = "It cannot be told how far more labels would bring the model"
    if answers.index.nunique() < FEWEST_HELD_OUT:
        what = "images" if answers.index.is_unique else "scenes"
        return f"{unknown}: {answers.index.nunique()} {what} are held out, and {FEWEST_HELD_OUT} are needed."
    if right == 1:
        return f"{unknown}: all {images:,} held-out images are right already."
    if forecast is None:
        return f"{unknown}: fewer training images teach too little to show a trend."
    gain, low, high = map(float, forecast.loc[2])
    return (
        f"With twice as many training images, the accuracy may go from {percent(right)} to about "
        f"{percent(min(1, right + gain))} (90 % band {points(low)} to {points(high)} points)."
    )


def learn_from_parts(root: Path) -> pd.DataFrame:
    """Train on `PARTS` of the workspace's training images with its own settings, and predict the held-out images.

    A row per held-out image, by its scene (its file, where images have none): its label, `actual`, and in a column for
    each number of training images the prediction, the last by the workspace's own model. Models that have learnt too
    little for a trend are left out.
    """
    index, params = read_table((root / INDEX).read_bytes()), read_params(TrainParams, root / PARAMS)
    classifier = load_classifier((root / MODEL).read_bytes(), MODEL)
    held_out = index[index["split"] == "held-out"]
    answers = held_out.set_index("scene" if "scene" in held_out else "file")[["label"]].set_axis(["actual"], axis=1)
    with progress_bar(len(PARTS), "Training on fewer images", unit="models") as bar:
        for part in PARTS:
            split = subsample(index, part)
            if part > 1:
                predicted = train_and_predict(root, index.assign(split=split), classifier, held_out, params)
            else:
                predicted = classifier.predict(root, root / RAW, held_out).idxmax(axis=1).to_numpy()
            answers[int(split.eq("train").sum())] = predicted
            bar.update()
    return drop_poor_models(answers)


@styled
def draw_outlook(answers: pd.DataFrame) -> Chart:
    """Show the accuracy that twice and four times as many training images would bring; see `describe_outlook`."""
    forecast = extrapolate(answers)
    note = "Lines: 95 % intervals. Band: 90 %, of what the next training may show. Today's model, in blue, and "
    note += "models that were trained on parts of its training images predict the same held-out images."

    figure, (axes,) = make_panels(1, 3.2, describe_outlook(answers, forecast), note)
    right = answers.drop(columns="actual").eq(answers["actual"], axis=0)
    models, today = right.columns.astype(int), right.iloc[:, -1].mean()
    effects = right.apply(design_effect, scenes=right.index)
    mark_models(axes, models, right.mean(), *wilson(right.sum() / effects, len(right) / effects))
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
