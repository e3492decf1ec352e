"""An audit tells how many labels are wrong, as far as two people can."""

import numpy as np
import pandas as pd
import pytest

from extras.second_look.audit import Audited, audit_rule, count_audited, describe_audit, wrong_labels


def labels_of(*rows: tuple) -> pd.DataFrame:
    """Rows of annotators, their labels, and the field of the audit."""
    return pd.DataFrame(rows, columns=["annotators", "labels", "audit"])


def test_images_that_chance_chose_and_that_two_people_labelled_count():
    table = labels_of(
        (("ann", "bob"), ("a", "a"), "blind"),
        (("ann", "bob"), ("a", "b"), "blind"),
        (("ann", "ann"), ("a", "b"), "blind"),  # the same person twice
        (("ann",), ("a",), "blind"),  # not yet
        (("ann", "bob"), ("a", "b"), None),  # two people, and nobody chose the image
        (("ann", "bob"), ("a", "b"), "yes"),
    )
    assert count_audited(table) == Audited(2, 1, True)
    seen = pd.concat([table, labels_of((("ann", "bob"), ("a", "a"), "seen"))])
    assert count_audited(seen) == Audited(3, 1, False)
    assert count_audited(table.drop(columns="audit")) == Audited(0, 0, False)


def test_labels_of_one_scene_count_as_one_or_little_more():
    table = labels_of(*[(("ann", "bob"), ("a", "b" if number < 20 else "a"), "blind") for number in range(100)])
    alone = count_audited(table)
    together = count_audited(table, pd.Series([number // 10 for number in range(100)]))
    assert (together.labels, together.differ) == (alone.labels, alone.differ) == (100, 20)
    assert wrong_labels(together) == pytest.approx(wrong_labels(Audited(10, 2, True)))
    assert audit_rule(alone, 0.05).passed is False
    assert audit_rule(together, 0.05).passed is True


def test_two_blind_answers_give_a_share_and_an_interval():
    said = "12 of 100 audited labels differ: about 6 % of labels are wrong (3.5 to 9.9); "
    assert describe_audit(Audited(100, 12, True)) == f"{said}where people share a mistake, more."


def test_an_opinion_before_the_first_answer_leaves_a_lower_bound():
    said = describe_audit(Audited(100, 12, False))
    assert said.startswith("12 of 100 audited labels differ: at least 3.5 % of labels are wrong; ")


@pytest.mark.parametrize(("differ", "low", "high"), [(0, 0.0, 0.018), (10, 0.028, 0.087)])
def test_the_bounds_of_a_hundred_labels(differ, low, high):
    assert wrong_labels(Audited(100, differ, True)) == pytest.approx((low, high), abs=0.0005)


def test_a_rule_needs_fifty_labels():
    assert audit_rule(Audited(49, 49, True), 0.05).passed is None
    assert audit_rule(Audited(49, 49, True), 0.05).rule == "not audited"
    assert audit_rule(Audited(50, 50, True), 0.05).passed is False
    assert "not audited" not in audit_rule(Audited(50, 0, True), 0.05).rule
    assert describe_audit(Audited(0, 0, True)) == ""


def draw(chance: np.random.Generator, images: int, errors: float, classes: int = 10) -> int:
    """How many labels of two people differ who err independently."""
    true = np.zeros(images, int)
    one, other = (np.where(chance.random(images) < errors, chance.integers(1, classes, images), true) for _ in range(2))
    return int((one != other).sum())


@pytest.mark.slow
@pytest.mark.parametrize("errors", [0.01, 0.03, 0.05, 0.1])
@pytest.mark.parametrize("images", [50, 100, 200])
def test_the_interval_covers_the_share_of_wrong_labels(images, errors):
    chance = np.random.default_rng(0)
    bounds = np.array([wrong_labels(Audited(images, draw(chance, images, errors), True)) for _ in range(3000)])
    covered = (bounds[:, 0] <= errors) & (errors <= bounds[:, 1])
    assert covered.mean() >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize(("errors", "stopped"), [(0.03, 0.0), (0.05, 0.06), (0.07, 0.37), (0.1, 0.87), (0.15, 1.0)])
def test_a_hundred_audited_labels_stop_rounds_with_many_wrong_ones(errors, stopped):
    chance = np.random.default_rng(0)
    rules = [audit_rule(Audited(100, draw(chance, 100, errors), True), 0.05) for _ in range(2000)]
    assert np.mean([rule.passed is False for rule in rules]) == pytest.approx(stopped, abs=0.06)
