"""Pictures with captions: as the classifier sees them, counted, harmless, and with the way to their tasks."""

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawings import EVIL, flips_of, lines_in, plan_of, scores_of, write_digits
from PIL import Image

from helpers.comparison.tables import flips
from helpers.figures import galleries
from helpers.figures.markup import Shown
from helpers.figures.style import NEW, OLD

PLANETS = Path(__file__).parents[3] / "shared/planets/raw"


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return folder


def pictures_in(html: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(b64decode(data))) for data in re.findall(r"base64,([^\"]+)\"", html)]


def html_of(gallery: Shown | None) -> str:
    assert gallery
    return gallery.html


@pytest.mark.skipif(not PLANETS.exists(), reason="needs ../shared/planets")
def test_photographs_leave_the_notebook_small_enough_to_pass_round():
    files = [file for folder in sorted(PLANETS.iterdir()) for file in sorted(folder.iterdir())[:12]]
    assert len(html_of(galleries.gallery(files, [file.parent.name for file in files], "Planets", most=40))) < 400_000


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
    gallery = galleries.flips(flips_of(broken, fixed), digits, {})
    assert len(pictures_in(html_of(gallery))) == shown
    assert [int(number.replace(",", "")) for number in re.findall(r"\(([\d,]+) more", gallery.html)] == left_out
    assert gallery.text.startswith(f"The new model corrects {fixed:,} mistake")


def test_without_a_flip_there_is_a_sentence(digits):
    assert "corrects 0 mistakes" in galleries.flips(flips_of(1, 0).head(0), digits, {}).html


def test_each_flip_has_its_label_both_predictions_both_confidences_and_its_task(digits):
    found = flips(scores_of(["Moon"], ["Moon"], ["Mars"], confidence=0.83))
    lineage = pd.DataFrame({"sha256": found["sha256"], "project": ["3"], "task": ["12"]})
    links = galleries.link_tasks(lineage, "http://labels.example/projects/3/data?tab=5")
    html = galleries.flips(found, digits, links).html
    assert lines_in(html) == [["0.png", "label: Moon", "■ old: Moon (83 %)", "■ new: Mars (83 %)", "task 12"]]
    assert re.findall(r"color:(#\w+)\">■", html) == [OLD, NEW]
    assert 'href="http://labels.example/projects/3/data?task=12"' in html
    for other in ("http://labels.example/projects/33", "annotations.json", "http://labels.example"):
        assert galleries.link_tasks(lineage, other) == {}


def test_pictures_show_the_first_ones_and_count_the_others(digits):
    files = pd.Series([digits / f"{number}.png" for number in range(100)])
    gallery = galleries.gallery(files, files.map(lambda file: f"digit {file.stem}"), "Digits", most=10)
    assert gallery
    assert gallery.text == "Digits (90 more are not shown)"
    assert lines_in(html_of(gallery)) == [[f"{number}.png", f"digit {number}"] for number in range(10)]
    assert [picture.size for picture in pictures_in(html_of(gallery))] == [(8, 8)] * 10


def test_large_pictures_are_sharp_on_fine_screens_and_keep_their_shape(tmp_path):
    Image.new("L", (3000, 1000)).save(tmp_path / "wide.png")
    (picture,) = pictures_in(html_of(galleries.gallery([tmp_path / "wide.png"], [""], "One")))
    assert picture.size == (192, 64)


def test_pictures_are_shown_as_the_classifier_sees_them(tmp_path):
    Image.fromarray(np.array([[0, 20_000, 65_535]], dtype=np.uint16)).save(tmp_path / "greys.png", transparency=0)
    (shown,) = pictures_in(html_of(galleries.gallery([tmp_path / "greys.png"], [""], "Greys")))
    assert np.asarray(shown.convert("L"))[0].tolist() == pytest.approx([255, 78, 255], abs=2)


def test_a_picture_that_cannot_be_read_does_not_take_the_others_with_it(digits, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [tmp_path / "broken.png", tmp_path / "missing.png", digits / "1.png", ""]
    html = html_of(galleries.gallery(files, ["a", "b", "c", "d"], "Pictures"))
    assert len(pictures_in(html)) == 1
    assert html.count("cannot be read") == 3


def test_only_images_that_somebody_labelled_in_vain_need_a_person():
    rows = [("leave out", "conflict"), ("leave out", "unlabelled"), ("leave out", "labelled"), ("add", "labelled")]
    plan = pd.concat([plan_of(action=action, status=status, reason=f"{action}, {status}") for action, status in rows])
    html = html_of(galleries.unsettled(plan))
    assert [f"{action}, {status}" in html for action, status in rows] == [True, False, True, False]
    assert galleries.unsettled(plan.iloc[[1, 3]]) is None


def test_a_label_that_a_newer_one_overrules_is_shown():
    newer = plan_of(
        action="keep", destination="Mars/a.png", label="Moon", reason="the lineage holds a newer label, Mars"
    )
    known = plan_of(action="keep", destination="Moon/b.png", label="Moon", reason="already there")
    html = html_of(galleries.unsettled(pd.concat([newer, known])))
    assert lines_in(html) == [["a.png", "1: Moon", "2: Mars", "the lineage holds a newer label, Mars", "task 3, 4"]]


def test_an_image_for_a_person_has_its_file_answers_reason_and_tasks():
    html = html_of(galleries.unsettled(plan_of(), "http://labels.example/projects/3"))
    assert lines_in(html) == [["a.png", "1: Moon", "2: Mars", "people disagree", "task 3, 4"]]
    assert html.count("href=") == 2
    assert "href=" not in html_of(galleries.unsettled(plan_of(), "annotations.json"))


def test_images_for_a_person_are_counted():
    gallery = galleries.unsettled(pd.concat([plan_of()] * 1234), most=3)
    assert len(lines_in(html_of(gallery))) == 3
    assert gallery
    assert gallery.text == "For a person: 1,234 images (1,231 more are not shown)"


def test_withdrawn_labels_are_shown_with_what_happened_and_the_way_to_take_their_images_out(tmp_path):
    found = {"file": ["Mars/a.png"] * 20, "label": "Mars", "task": "3 4", "happened": "its task was skipped"}
    gallery = galleries.withdrawn(pd.DataFrame(found), tmp_path, "http://labels.example/projects/3")
    assert lines_in(html_of(gallery)) == [["Mars/a.png", "label: Mars", "its task was skipped", "task 3, 4"]] * 16
    assert gallery
    assert "20 images (4 more are not shown)" in gallery.text
    assert "dvc add data/raw" in gallery.text
    assert galleries.withdrawn(pd.DataFrame(found).head(0), tmp_path) is None


def test_corrected_labels_are_shown_with_the_former_one_and_never_as_none():
    corrected = galleries.corrected(plan_of(action="move"))
    assert lines_in(html_of(corrected)) == [["a.png", "Mars/a.png → Moon", "task 3, 4"]]
    assert galleries.corrected(plan_of().head(0)) is None


def test_near_duplicates_stand_side_by_side(digits):
    pairs = pd.DataFrame({"file": ["0.png"], "label": ["a"], "like": ["1.png"], "like_label": ["b"]})
    gallery = galleries.nearly_equal(pairs, digits)
    assert gallery
    assert gallery.text == "1 held-out image nearly equals a training image"
    assert lines_in(html_of(gallery)) == [["0.png", "held out", "label: a"], ["1.png", "trained on", "label: b"]]
    assert galleries.nearly_equal(pairs.head(0), digits) is None


def test_text_from_outside_is_never_markup(digits):
    plan = plan_of(file=EVIL, tasks=[(EVIL,)], annotators=[(EVIL,)], labels=[(EVIL,)], reason=EVIL, label=EVIL)
    flipped = flips_of(1, 1).assign(file=EVIL, actual=EVIL, old_predicted=EVIL, new_predicted=EVIL)
    for gallery in (
        galleries.unsettled(plan, f"http://{EVIL}"),
        galleries.withdrawn(plan.assign(task=EVIL, happened=EVIL), digits, f"http://{EVIL}/projects/3"),
        galleries.corrected(plan.assign(action="move", previous=EVIL)),
        galleries.flips(flipped, digits, {}),
        galleries.gallery([digits / "0.png"], [EVIL], EVIL),
    ):
        assert "<script>" not in html_of(gallery)
        assert '"x"' not in html_of(gallery)
        html_of(gallery).encode()


def test_each_picture_has_its_name_as_alternative_text(digits):
    html = html_of(galleries.gallery([digits / "0.png", digits / "1.png"], ["a", "b"], "Two"))
    assert re.findall(r'alt="(.*?)"', html) == ["0.png", "1.png"]
