"""The past and the future of a model: the figures are true, and the sentence says when it cannot tell."""

from typing import Any

import pandas as pd
import pytest
from drawings import texts
from matplotlib.colors import same_color
from scores import answers_of

from helpers.figures import rounds
from helpers.figures.style import NEW, QUIET

NAMES = ["start", "model/v1", "model/v2", "this round"]


def story_of(images: list[Any], accuracy: list[Any], names: list[str] = NAMES) -> pd.DataFrame:
    table = pd.DataFrame({"name": names[: len(images)], "training_images": images, "accuracy": accuracy})
    table["published_because"] = None
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


def test_a_model_that_was_published_although_it_was_not_accepted_is_a_ring():
    told = story_of([300, 600, 900], [0.9, 0.92, 0.94])
    assert "Rings" not in rounds.story(told).note
    chart = rounds.story(told.assign(published_because=pd.Series([None, "the camera was replaced", None])))
    opaque = [colour[3] > 0 for colour in chart.axes[0].collections[-1].get_facecolor()]
    assert opaque == [True, False, True]
    assert "Rings: published, although not accepted." in chart.note


def test_of_models_side_by_side_the_latest_is_named():
    figure = rounds.story(story_of([300, 1190, 1200, 1200], [0.9, 0.92, 0.94, 0.95]))
    assert {"start", "v1", "v2", "this round"} & set(texts(figure)) == {"start", "this round"}
    same = rounds.story(story_of([300, 300], [0.9, 0.92], ["model/v1", "this round"]))
    assert {"v1", "this round"} & set(texts(same)) == {"this round"}


def test_the_outlook_shows_the_models_and_twice_and_four_times_as_many_images():
    answers = answers_of({100: 0.24, 200: 0.12, 400: 0.06, 800: 0.03})
    figure = rounds.outlook(answers, margin=0.01)
    start = "Another round is worth it: twice as many training images would raise the accuracy from 97.0 %"
    assert figure.finding.startswith(start)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "200", "400", "800", "1,600", "3,200"]
    places = [points.get_offsets().tolist() for points in axes.collections]
    assert [[100, 0.76], [200, 0.88], [400, 0.94], [800, 0.97]] in places


def test_no_accuracy_above_100_percent_is_promised():
    figure = rounds.outlook(answers_of({200: 0.4, 400: 0.08, 800: 0.02}, 100), margin=0.01)
    ends = [path.vertices[:, 1].max() for marks in figure.axes[0].collections for path in marks.get_paths()]
    assert max(ends) <= 1


def test_an_outlook_without_a_trend_shows_the_models():
    figure = rounds.outlook(answers_of({200: 0.03, 400: 0}, 300), margin=0.01)
    assert figure.finding.startswith("Another round is not worth it")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["200", "400"]
