"""The forecast finds the law that the errors follow, from parts that are nested, and says nothing without a trend."""

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from extras import forecast
from extras.forecast import (
    describe_outlook,
    draw_outlook,
    drop_poor_models,
    extrapolate,
    fit_law,
    learn_from_parts,
    subsample,
)

RATIOS = np.array([1 / 8, 1 / 4, 1 / 2, 1])
LAWS = [(0.08, 0.6, 0.02), (0.05, 0.35, 0.0), (0.02, 0.1, 0.1), (0.0, 0.5, 0.03)]


def answers_of(errors: dict[int, float], images: int = 1000) -> pd.DataFrame:
    """Models that err on so large a share of images, each on those of the next and more; two classes of equal size."""
    actual = np.array(["a", "b"] * (images // 2))
    wrong = np.where(actual == "a", "b", "a")
    places = np.arange(images)
    models = {n: np.where(places < round(error * images), wrong, actual) for n, error in errors.items()}
    return pd.DataFrame(models).set_axis([*errors], axis=1).assign(actual=actual)[["actual", *errors]]


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(forecast, "RESAMPLES", 100)


def gain_of(answers: pd.DataFrame, ratio: int = 2) -> tuple[float, float, float]:
    """The gain of so many times as many training images, with the ends of its interval."""
    outlook = extrapolate(answers)
    assert outlook is not None
    row: Any = outlook.loc[ratio]
    return row["gain"], row["low"], row["high"]


@pytest.mark.parametrize(("a", "b", "c"), LAWS)
def test_the_law_that_made_the_errors_is_found(a, b, c):
    vanishing, exponent = fit_law(RATIOS, a * RATIOS**-b + c, spread=np.full(4, 0.01))
    n = np.array([2, 4])
    assert a + c - vanishing + vanishing * n**-exponent == pytest.approx(a * n**-b + c, abs=1e-5)


def test_its_parameters_are_found():
    assert fit_law(RATIOS, 0.08 * RATIOS**-0.6 + 0.02, np.full(4, 0.01)) == pytest.approx((0.08, 0.6), abs=1e-4)


def test_without_an_offset_all_error_vanishes():
    law = fit_law(np.array([0.5, 1]), np.array([0.1, 0.05]), np.array([0.01, 0.01]), offset=False)
    assert law == pytest.approx((0.05, 1), abs=1e-4)


def split_index(images: int = 400) -> pd.DataFrame:
    sha256 = [hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(images)]
    return pd.DataFrame({"sha256": sha256, "split": np.where(np.arange(images) % 5, "train", "held-out")})


def taken(index: pd.DataFrame, part: int) -> set[str]:
    return set(index["sha256"][subsample(index, part) == "train"])


def test_each_part_holds_the_smaller_ones():
    index = split_index()
    eighth, quarter, half, whole = (taken(index, part) for part in (8, 4, 2, 1))
    assert eighth < quarter < half < whole
    assert [len(part) for part in (eighth, quarter, half, whole)] == [40, 80, 160, 320]


def test_the_order_of_the_images_does_not_matter():
    index = split_index()
    shuffled = index.sample(frac=1, random_state=0)
    assert taken(shuffled, 4) == taken(index, 4)
    assert taken(shuffled.reset_index(drop=True), 4) == taken(index, 4)


def test_a_part_is_no_sample_by_the_first_digits_which_choose_the_pictures_to_label_at_random():
    index = split_index()
    first = [int(sha256[:2], 16) / 255 for sha256 in taken(index, 8)]
    assert 0.3 < np.mean(first) < 0.7


def test_held_out_images_stay_held_out():
    index = split_index()
    assert (subsample(index, 8) == "held-out").equals(index["split"] == "held-out")


def test_a_part_has_whole_scenes():
    index = split_index(400)
    index["scene"] = [f"cam{number // 7}" for number in range(len(index))]
    parts = [subsample(index, part) for part in (8, 4, 2, 1)]
    for part, share in zip(parts, (8, 4, 2, 1), strict=True):
        training = index[index["split"] == "train"].assign(part=part)
        assert training.groupby("scene")["part"].nunique().eq(1).all()
        assert abs((part == "train").sum() - len(training) / share) < 7
    assert all((one[other == "left out"] != "train").all() for other, one in pairwise(parts[::-1]))


def test_scenes_of_equal_images_have_the_trend_and_the_band_of_one_image_each():
    answers = answers_of({10: 0.3, 20: 0.2, 40: 0.12, 80: 0.08}, images=400)
    ten = answers.loc[answers.index.repeat(10)]
    alone, together = extrapolate(answers), extrapolate(ten)
    assert alone is not None
    assert together is not None
    assert together["gain"].loc[2] == pytest.approx(alone["gain"].loc[2], abs=0.002)
    assert together["low"].loc[2] == pytest.approx(alone["low"].loc[2], abs=0.004)
    counted_alone = extrapolate(ten.reset_index(drop=True))
    assert counted_alone is not None
    assert counted_alone["low"].loc[2] > alone["low"].loc[2] + 0.01
    assert "49 scenes are held out, and 50 are needed" in describe_outlook(ten[:490], None)


def test_a_part_of_few_images_is_not_empty():
    assert len(taken(split_index(5), 8)) == 1


def test_models_hardly_better_than_guessing_are_dropped_with_all_smaller_ones():
    answers = answers_of({10: 0.2, 20: 0.3, 40: 0.2, 80: 0.1})
    assert drop_poor_models(answers).columns.tolist() == ["actual", 40, 80]
    assert drop_poor_models(answers_of({10: 0.3, 20: 0.2, 40: 0.1, 80: 0.05})).columns.tolist() == [
        "actual",
        20,
        40,
        80,
    ]
    assert drop_poor_models(answers_of({10: 0.1, 20: 0.05})).columns.tolist() == ["actual", 10, 20]


def test_todays_model_is_never_dropped():
    assert drop_poor_models(answers_of({10: 0.3, 20: 0.4})).columns.tolist() == ["actual", 20]


@pytest.mark.parametrize(("ratio", "expected"), [(1, 0), (2, 0.015), (4, 0.0225)])
def test_a_trend_is_extended_to_more_images(ratio, expected):
    gain, low, high = gain_of(answers_of({100: 0.24, 200: 0.12, 400: 0.06, 800: 0.03}), ratio)
    assert gain == pytest.approx(expected, abs=0.002)
    assert low <= gain <= high


def test_two_models_promise_a_fall_that_goes_on_as_it_was():
    assert gain_of(answers_of({400: 0.1, 800: 0.05}))[0] == pytest.approx(0.025, abs=1e-4)


def test_an_error_that_no_longer_falls_promises_nothing():
    _, _, high = gain_of(answers_of({100: 0.05, 200: 0.05, 400: 0.05, 800: 0.05}, images=4000), ratio=4)
    assert high < 0.005


def test_fewer_held_out_images_make_the_interval_wider():
    few, many = (gain_of(answers_of({200: 0.16, 400: 0.08, 800: 0.04}, images)) for images in (100, 2000))
    assert few[2] - few[1] > 2 * (many[2] - many[1])
    assert many[2] - many[1] > 0.003


def test_without_two_models_or_without_mistakes_there_is_no_trend():
    assert extrapolate(answers_of({800: 0.04})) is None
    assert extrapolate(answers_of({400: 0.04, 800: 0.0})) is None


def outlook_of(gain: float, low: float, high: float) -> pd.DataFrame:
    return pd.DataFrame({"gain": [gain], "low": [low], "high": [high]}, index=[2.0])


def test_the_gain_of_twice_as_many_images_is_told_with_its_band():
    answers = answers_of({200: 0.1, 400: 0.08}, 100)
    assert describe_outlook(answers, outlook_of(0.03, -0.01, 0.05)) == (
        "With twice as many training images, the accuracy may go from 92.0 % to about 95.0 % (90 % band −1.0 to +5.0 "
        "points)."
    )


def test_the_band_is_that_of_the_trend_widened_by_the_flips_of_the_last_two_models(monkeypatch):
    answers = answers_of({100: 0.24, 200: 0.12, 400: 0.06, 800: 0.03})
    gain, low, high = gain_of(answers)
    monkeypatch.setattr("numpy.random.default_rng", lambda _: Same())  # no uncertainty of the trend is left
    flips = 0.06 - 0.03
    reach = 1.6449 * (1.5 * flips / 1000) ** 0.5
    assert gain_of(answers)[1:] == pytest.approx((gain - reach, gain + reach), abs=1e-5)
    assert low < gain - reach < gain + reach < high


class Same:
    """Draws each image once."""

    def integers(self, most: int, size: int) -> np.ndarray:
        return np.arange(most)


def test_of_a_model_without_mistakes_no_gain_can_be_told():
    sentence = describe_outlook(answers_of({200: 0.1, 400: 0}, 300), None)
    assert sentence.endswith("bring the model: all 300 held-out images are right already.")


def test_few_held_out_images_tell_nothing_even_if_all_are_right():
    sentence = describe_outlook(answers_of({400: 0}, 40), None)
    assert sentence.startswith("It cannot be told how far more labels would bring the model: 40 images are held out")


def test_without_a_trend_nothing_can_be_told():
    sentence = describe_outlook(answers_of({400: 0.08}, 100), None)
    assert sentence.endswith("bring the model: fewer training images teach too little to show a trend.")


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b", "c"), LAWS[:1] + LAWS[2:3])
@pytest.mark.parametrize("ratio", [2, 4])
def test_the_band_covers_what_the_next_training_shows(a, b, c, ratio):
    """Half of the answers depend on the image alone, half on chance: models agree, as they do in practice."""
    chance, covered = np.random.default_rng(1), []
    for _ in range(60):
        ratios = np.append(RATIOS, ratio)
        images = np.broadcast_to(chance.random((500, 1)), (500, 5))
        wrong = np.where(chance.random((500, 5)) < 0.5, images, chance.random((500, 5))) < a * ratios**-b + c
        answers = pd.DataFrame(np.where(wrong[:, :4], "y", "x"), columns=[100, 200, 400, 800]).assign(actual="x")
        _, low, high = gain_of(answers, ratio)
        covered.append(low <= wrong[:, 3].mean() - wrong[:, 4].mean() <= high)
    assert np.mean(covered) >= 0.8


def test_the_outlook_shows_the_models_and_twice_and_four_times_as_many_images():
    answers = answers_of({100: 0.24, 200: 0.12, 400: 0.06, 800: 0.03})
    figure = draw_outlook(answers)
    start = "With twice as many training images, the accuracy may go from 97.0 % to about 98.5 %"
    assert figure.finding.startswith(start)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "200", "400", "800", "1,600", "3,200"]
    places = [points.get_offsets().tolist() for points in axes.collections]
    assert [[100, 0.76], [200, 0.88], [400, 0.94], [800, 0.97]] in places


def test_no_accuracy_above_100_percent_is_promised():
    figure = draw_outlook(answers_of({200: 0.4, 400: 0.08, 800: 0.02}, 100))
    ends = [path.vertices[:, 1].max() for marks in figure.axes[0].collections for path in marks.get_paths()]
    assert max(ends) <= 1


def test_an_outlook_without_a_trend_shows_the_models():
    figure = draw_outlook(answers_of({200: 0.03, 400: 0}, 300))
    assert figure.finding.startswith("It cannot be told")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["200", "400"]


def test_the_parts_are_trained_and_the_workspaces_own_model_is_the_last(tiny, monkeypatch, capsys):
    monkeypatch.setattr(forecast, "drop_poor_models", lambda answers: answers)  # one epoch teaches nothing
    own = pd.read_csv(tiny.root / "evaluation/predictions.csv", dtype=str).set_index("file")
    answers = learn_from_parts(tiny.root)
    training = 24 - len(own)
    assert answers.columns.tolist() == ["actual", *(training // part for part in (8, 4, 2)), training]
    assert answers["actual"].equals(own["actual"].rename("actual"))
    assert answers[training].tolist() == own["predicted"].tolist()
    assert set(answers.stack()) <= {"dark", "light"}
    assert tiny.git("status", "--porcelain") == ""
    assert "epoch" not in capsys.readouterr().out
