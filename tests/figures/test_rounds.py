"""The past and the future of a model: the figures are true, and the sentence says when it cannot tell."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawings import texts
from matplotlib.colors import same_color

from helpers.figures import rounds
from helpers.figures.rounds import describe_outlook
from helpers.figures.style import NEW, QUIET

NAMES = ["start", "model/v1", "model/v2", "this round"]


def story_of(images: list[Any], accuracy: list[Any], names: list[str] = NAMES) -> pd.DataFrame:
    table = pd.DataFrame({"name": names[: len(images)], "training_images": images, "accuracy": accuracy})
    return table.assign(low=table["accuracy"] - 0.05, high=table["accuracy"] + 0.05).convert_dtypes()


@pytest.mark.parametrize(
    ("accuracy", "finding"),
    [
        ([0.9, 0.95], "Accuracy rose from 90.0 % to 95.0 % with 1,200 training images, 300 at the start"),
        ([0.95, 0.9], "Accuracy fell from 95.0 % to 90.0 % with 1,200 training images, 300 at the start"),
        ([0.9, 0.9001], "Accuracy stayed at 90.0 % with 1,200 training images, 300 at the start"),
    ],
)
def test_the_story_says_where_it_began_and_where_it_is(accuracy, finding):
    assert rounds.story(story_of([300, 1200], accuracy)).finding == finding


def test_one_model_is_no_story():
    assert rounds.story(story_of([300], [0.9])) is None
    assert rounds.story(story_of([300, None], [0.9, 0.95])) is None
    assert rounds.story(story_of([300, 1200], [None, None])) is None


def test_each_model_is_named_and_the_present_one_stands_out():
    figure = rounds.story(story_of([300, 600, 900, 1200], [0.9, 0.92, 0.94, 0.95]))
    assert {"start", "v1", "v2", "this round"} <= set(texts(figure))
    points = figure.axes[0].collections[-1]
    assert points.get_offsets().tolist() == [[300, 0.9], [600, 0.92], [900, 0.94], [1200, 0.95]]
    assert all(same_color(colour, QUIET) for colour in points.get_facecolor()[:3])
    assert same_color(points.get_facecolor()[3], NEW)


def test_of_models_side_by_side_the_latest_is_named():
    figure = rounds.story(story_of([300, 1190, 1200, 1200], [0.9, 0.92, 0.94, 0.95]))
    assert {"start", "v1", "v2", "this round"} & set(texts(figure)) == {"start", "this round"}
    same = rounds.story(story_of([300, 300], [0.9, 0.92], ["model/v1", "this round"]))
    assert {"v1", "this round"} & set(texts(same)) == {"this round"}


def answers_of(images: int, **wrong: int) -> pd.DataFrame:
    """Models by their number of training images, which are wrong about so many images."""
    actual = np.array(["a", "b"] * (images // 2))
    models = {int(n[1:]): np.where(np.arange(images) < count, "c", actual) for n, count in wrong.items()}
    return pd.DataFrame(models, columns=[*models]).assign(actual=actual)[["actual", *models]]


def outlook_of(gain: float, low: float, high: float) -> pd.DataFrame:
    return pd.DataFrame({"gain": [gain], "low": [low], "high": [high]}, index=[2.0])


@pytest.mark.parametrize(
    ("outlook", "finding"),
    [
        ((0.03, 0.01, 0.05), "Another round is worth it"),
        ((0.003, 0.001, 0.006), "Another round is not worth it"),
        ((0.004, 0.001, 0.02), "It cannot be told whether another round is worth it"),  # the gain may be large or small
        ((0.02, 0.0, 0.05), "It cannot be told whether another round is worth it"),  # there may be none
    ],
)
def test_the_gain_of_twice_as_many_images_is_weighed_against_the_margin(outlook, finding):
    answers = answers_of(100, n200=10, n400=8)
    gain, low, high = (f"{100 * x:.1f}" for x in outlook)
    low = f"+{low}" if outlook[1] else "0"
    assert describe_outlook(answers, outlook_of(*outlook), margin=0.01) == (
        f"{finding}: twice as many training images would raise the accuracy from 92.0 % to about "
        f"{92 + float(gain):.1f} % (95 % interval {low} to +{high} points, margin 1)."
    )


def test_a_model_without_mistakes_needs_no_further_round():
    sentence = describe_outlook(answers_of(300, n200=10, n400=0), None, 0.01)
    assert sentence == "Another round is not worth it: all 300 held-out images are right already."


def test_few_held_out_images_tell_nothing_even_if_all_are_right():
    sentence = describe_outlook(answers_of(40, n400=0), None, 0.01)
    assert sentence.startswith("It cannot be told whether another round is worth it: 40 images are held out")


def test_without_a_trend_nothing_can_be_told():
    sentence = describe_outlook(answers_of(100, n400=8), None, 0.01)
    assert sentence.startswith("It cannot be told whether another round is worth it: fewer training images teach")


def test_the_outlook_shows_the_models_and_twice_and_four_times_as_many_images():
    answers = answers_of(1000, n100=240, n200=120, n400=60, n800=30)
    figure = rounds.outlook(answers, margin=0.01)
    start = "Another round is worth it: twice as many training images would raise the accuracy from 97.0 %"
    assert figure.finding.startswith(start)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "200", "400", "800", "1,600", "3,200"]
    places = [points.get_offsets().tolist() for points in axes.collections]
    assert [[100, 0.76], [200, 0.88], [400, 0.94], [800, 0.97]] in places


def test_no_accuracy_above_100_percent_is_promised():
    figure = rounds.outlook(answers_of(100, n200=40, n400=8, n800=2), margin=0.01)
    ends = [path.vertices[:, 1].max() for marks in figure.axes[0].collections for path in marks.get_paths()]
    assert max(ends) <= 1


def test_an_outlook_without_a_trend_shows_the_models():
    figure = rounds.outlook(answers_of(300, n200=10, n400=0), margin=0.01)
    assert figure.finding.startswith("Another round is not worth it")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["200", "400"]
