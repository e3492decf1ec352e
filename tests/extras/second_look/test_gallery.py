"""The labels that the old model believes least are shown with the way to their tasks."""

import pandas as pd
import pytest
from drawings import EVIL, lines_in, plan_of

from extras.second_look.doubts import Noise, SecondLook
from extras.second_look.gallery import show_doubts


def judged_of(suspects: int) -> SecondLook:
    """The second look at a hundred labels, so many of which are suspects."""
    judged = pd.concat([plan_of(opinion="Mars", believed=0.013, doubt=0.97)] * 100, ignore_index=True)
    return SecondLook(judged.assign(suspect=judged.index < suspects), Noise(0.1, 0.05, 0.2))


@pytest.mark.parametrize(("suspects", "shown"), [(0, 6), (4, 6), (20, 20), (60, 24)])
def test_a_second_look_shows_the_suspects_and_the_least_believed_with_links_to_their_tasks(suspects, shown):
    captions = lines_in(show_doubts(judged_of(suspects), "http://labels.example/projects/3").html)
    lines = ["a.png", "label: Moon", "old model: Mars", "believes the label: 1.3 %", "wrong: 97.0 %", "task 3, 4"]
    assert captions == [lines] * shown
    assert "href" not in show_doubts(judged_of(suspects), "annotations.json").html


def test_a_second_look_without_an_opinion_is_a_sentence():
    assert "no opinion" in show_doubts(SecondLook(judged_of(0).judged.head(0), None)).html


def test_text_from_outside_is_never_markup():
    judged = plan_of(file=EVIL, tasks=[(EVIL,)], label=EVIL, opinion=EVIL, believed=0.013, doubt=0.97, suspect=True)
    html = show_doubts(SecondLook(judged, Noise(0.1, 0.05, 0.2)), f"http://{EVIL}").html
    assert "<script>" not in html
    assert '"x"' not in html
    html.encode()
