"""The card tells the outcome of every kind of round, and nothing from outside is markup on it."""

import re
from dataclasses import replace
from typing import Any

import pytest
from score_tables import FACTS, decided, outcome

from helpers.comparison.record import Decision, Rule
from helpers.figures.card import show_card


def record(scores, **facts: Any) -> Decision:
    return replace(decided(scores), **FACTS | facts)


def read(html: str) -> str:
    """What a person reads: text without tags."""
    return re.sub(r"<[^>]*>", " ", html)


def test_a_better_model_is_seen_at_a_glance():
    card = show_card(
        record(outcome(both=290, fixed=20, broken=4, neither=4)), "The round is open.\n`-p publish True` ends it."
    )
    for html in (read(card.html), card.text):
        for fact in (
            "Better, +5.0 points",
            "The new model is accepted.",
            "model old0 of model/v3 → model new0",
            "92.5 % → 97.5 % of 318 held-out images",
            "953 images added, 1 label corrected",
            "annotations.json, with labels until 2026-01-05",
            "The round is open.",
        ):
            assert fact in html
    assert "<code>-p publish True</code> ends it." in card.html
    assert 'alt="Accuracy rose by 5.0 points (90 % interval +2.7 to +7.8)"' in card.html


def test_an_undecided_model_that_is_accepted_says_why():
    text = show_card(record(outcome(both=285, fixed=10, broken=5))).text
    assert text.startswith("Undecided, +1.7 points. The new model is accepted: it is not worse by more than the margin")


def test_a_rule_that_failed_gives_its_reason_in_text_and_every_rule_as_a_tooltip():
    decision = record(outcome(both=80, fixed=2, broken=18))
    card = show_card(decision)
    for rule in decision.rules:
        assert f'title="{rule.explanation}"' in card.html
        assert (rule.explanation in read(card.html)) == (not rule.passed)
    assert "The new model is not accepted." in card.text


@pytest.mark.parametrize("scores", [outcome(both=2, fixed=1), outcome(both=9, population="leaked")])
def test_too_few_images_give_a_card_without_a_figure_of_change(scores):
    card = show_card(record(scores))
    assert card.text.startswith("Undecided. The new model is not accepted.")
    assert "<img" not in card.html


def test_a_first_model_has_a_card_without_a_change():
    scores = outcome(both=40, neither=4)
    scores = scores.drop(columns=[name for name in scores if name.startswith("old_")])
    card = show_card(record(scores, baseline="no model at aa", replaces="no model at aa"))
    assert card.text.startswith("First model. The new model is accepted.")
    assert "no model at aa → model new0" in card.text
    assert "90.9 % of 44 held-out images" in card.text
    assert "<img" not in card.html


def test_a_comparison_with_another_model_names_the_one_that_would_be_replaced():
    text = show_card(record(outcome(both=40, fixed=4), baseline="model other of model/v1")).text
    assert "model other of model/v1 → model new0, which would replace model old0 of model/v3" in text


def test_extras_add_to_the_headline_and_inform_without_a_verdict():
    rules = [Rule("luck", None, "Nobody knows."), Rule("margin", True, "It is small.")]
    card = show_card(record(outcome(both=88, fixed=12), rules=rules, headline="luck is not excluded"))
    assert card.text.startswith("Better, +12.0 points; luck is not excluded. The new model is accepted.")
    assert [mark for mark in "✓✗" if mark in read(card.html)] == ["✓"]
    assert 'title="Nobody knows."' in card.html


def test_nothing_from_outside_is_markup():
    evil = '<script>"x"</script>\udc80'
    rules = [Rule(evil, False, evil)]
    scores = outcome(both=80, fixed=2, broken=18)
    decision = record(scores, export=evil, notes=[evil], rules=rules, headline=evil)
    html = show_card(decision, evil).html
    assert "<script>" not in html
    assert '"x"' not in html
    html.encode()
