"""Figures of pictures: they show pictures as the classifier sees them, and count those that they leave out."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figures import flips_of, scores_of, texts, title, write_digits
from matplotlib.figure import Figure
from PIL import Image

from helpers.comparison import galleries
from helpers.comparison.style import NEW, OLD
from helpers.comparison.tables import flips

PLANETS = Path(__file__).parents[3] / "shared/planets/raw"


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return folder


def pictures_in(figure: Figure) -> int:
    return sum(len(axes.images) for axes in figure.axes)


@pytest.mark.skipif(not PLANETS.exists(), reason="needs ../shared/planets")
def test_photographs_leave_the_notebook_small_enough_to_pass_round():
    files = [file for folder in sorted(PLANETS.iterdir()) for file in sorted(folder.iterdir())[:12]]
    png = io.BytesIO()
    figure = galleries.gallery(files, [file.parent.name for file in files], "Planets", most=40)
    figure.savefig(png, bbox_inches="tight")
    assert len(png.getvalue()) < 400_000


@pytest.mark.parametrize(
    ("broken", "fixed", "shown", "left_out"),
    [
        (2, 2, 4, []),
        (200, 200, 24, [188, 188]),
        (2, 398, 24, [376]),
        (398, 2, 24, [376]),
        (5_000, 5_000, 24, [4_988, 4_988]),
        (0, 1, 1, []),
    ],
)
def test_the_gallery_of_flips_counts_what_it_does_not_show(digits, broken, fixed, shown, left_out):
    figure = galleries.flip_gallery(flips_of(broken, fixed), digits)
    assert pictures_in(figure) == shown
    said = [text for text in texts(figure) if "more are not shown" in text]
    assert [int(text.split("(")[1].split()[0].replace(",", "")) for text in said] == left_out
    assert title(figure).startswith(f"The new model corrects {fixed:,} mistake")


def test_each_flip_has_its_label_both_predictions_and_both_confidences(digits):
    scores = scores_of(["Moon"], ["Moon"], ["Mars"], confidence=0.83)
    figure = galleries.flip_gallery(flips(scores), digits)
    under_the_picture = [text.get_text() for text in figure.axes[0].texts[2:]]
    assert under_the_picture == ["Moon", "■", "Moon (83 %)", "■", "Mars (83 %)"]
    marks = [text.get_color() for text in figure.axes[0].texts if text.get_text() == "■"]
    assert marks == [OLD, NEW]


def test_pictures_show_the_first_ones_and_count_the_others(digits):
    files = pd.Series([digits / f"{number}.png" for number in range(100)])
    figure = galleries.gallery(files, files.map(lambda file: f"digit {file.stem}"), "Digits", most=10)
    assert title(figure) == "Digits (90 more are not shown)"
    assert pictures_in(figure) == 10
    assert [text for text in texts(figure) if text.startswith("digit ")] == [f"digit {number}" for number in range(10)]


def test_small_pictures_are_enlarged_without_blur_and_keep_their_shape(digits, tmp_path):
    Image.new("L", (300, 100)).save(tmp_path / "wide.png")
    digit, wide = galleries.gallery([digits / "0.png", tmp_path / "wide.png"], ["", ""], "Two").axes[0].images
    assert digit.get_size() == (8, 8)
    assert digit.get_interpolation() == "nearest"
    left, right, bottom, top = wide.get_extent()
    assert right - left == pytest.approx(galleries.PICTURE)
    assert bottom - top == pytest.approx(galleries.PICTURE / 3)


def test_pictures_are_shown_as_the_classifier_sees_them(tmp_path):
    Image.fromarray(np.array([[0, 20_000, 65_535]], dtype=np.uint16)).save(tmp_path / "greys.png", transparency=0)
    (shown,) = galleries.gallery([tmp_path / "greys.png"], [""], "Greys").axes[0].images
    assert np.asarray(shown.get_array())[0, :, 0].tolist() == pytest.approx([255, 78, 255], abs=8)


def test_a_picture_that_cannot_be_read_does_not_take_the_others_with_it(digits, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [tmp_path / "broken.png", tmp_path / "missing.png", digits / "1.png"]
    figure = galleries.gallery(files, ["a", "b", "c"], "Pictures")
    assert pictures_in(figure) == 1
    assert texts(figure).count("cannot\nbe read") == 2
