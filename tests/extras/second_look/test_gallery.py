"""The labels that the old model doubts most are shown in pages of ten, with the way to their tasks."""

import pandas as pd
import pytest
from drawings import EVIL, lines_in, plan_of

from extras.second_look.doubts import SecondLook
from extras.second_look.gallery import show_doubts

OPINION = {"opinion": "Mars", "believed": 0.013, "left_out": False}


def look_of(number: int) -> SecondLook:
    return SecondLook(pd.concat([plan_of(**OPINION)] * number, ignore_index=True))


@pytest.mark.parametrize(("number", "shown", "rest"), [(953, 20, "933 more are not shown."), (13, 13, None)])
def test_two_pages_are_shown_with_links_to_tasks_and_the_number_of_all_others(number, shown, rest):
    html = show_doubts(look_of(number), "http://labels.example/projects/3").html
    assert (
        lines_in(html)
        == [["a.png", "label: Moon", "old model: Mars", "believes the label: 1.3 %", "task 3, 4"]] * shown
    )
    assert f"The model doubts these most: {shown} of {number} new labels." in html
    assert "1 to 10" in html
    assert f"11 to {shown}" in html
    assert (rest in html) if rest else "not shown" not in html
    assert "href" not in show_doubts(look_of(3), "annotations.json").html


def test_a_later_page_goes_on_where_the_first_ones_ended():
    html = show_doubts(look_of(35), most=30, first=20).html
    assert len(lines_in(html)) == 10
    assert "21 to 30" in html
    assert "doubts these most" not in html
    assert "5 more are not shown." in html


def test_labels_that_are_left_out_say_so():
    look = SecondLook(plan_of(**OPINION | {"left_out": True}))
    assert lines_in(show_doubts(look).html)[0][4] == "left out of training"


def test_a_model_that_is_unfit_to_judge_is_a_sentence():
    look = SecondLook(look_of(1).judged.head(0), unfit="The old model is 24 % right: too weak to judge labels.")
    assert "too weak to judge labels" in show_doubts(look).html
    assert lines_in(show_doubts(look).html) == []


def test_text_from_outside_is_never_markup():
    judged = plan_of(**OPINION | {"file": EVIL, "tasks": [(EVIL,)], "label": EVIL, "opinion": EVIL})
    html = show_doubts(SecondLook(judged), f"http://{EVIL}").html
    assert "<script>" not in html
    assert '"x"' not in html
    html.encode()
