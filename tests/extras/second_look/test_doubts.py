"""Wrong labels are found and counted before the merge; hard images are not taken for them."""

import re

import numpy as np
import pandas as pd
import pytest
from score_tables import comparison_of, outcome
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from extras.second_look.doubts import (
    Noise,
    SecondLook,
    describe_look,
    doubt_labels,
    estimate_noise,
    leave_out_suspects,
)
from extras.second_look.look import labels_rule
from helpers.comparison.decision import Finding, decide
from helpers.pipeline.calibration import apply_temperature, softmax
from helpers.pipeline.params import PrepareParams
from helpers.pipeline.prepare import is_held_out

PREPARE = PrepareParams(image_size=16, colour="rgb", validation_fraction=0.2, seed=42)
DIGITS = list("0123456789")


def draw(chance, images: int, sure: float, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a calibrated model, and labels of which a share is wrong."""
    probabilities = chance.dirichlet(np.full(5, sure), images)
    labels = np.array([chance.choice(5, p=row) for row in probabilities])
    mistaken = chance.random(images) < wrong
    labels[mistaken] = (labels[mistaken] + chance.integers(1, 5, mistaken.sum())) % 5
    return probabilities, labels


@pytest.mark.parametrize("wrong", [0.0, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("oversure", [pytest.param(1.0, marks=pytest.mark.slow), 3.0])
def test_the_share_of_wrong_labels_is_found_also_by_a_model_that_is_too_sure(wrong, oversure):
    chance, found = np.random.default_rng(0), []
    for _ in range(20):
        probabilities, labels = draw(chance, 400, 0.05, wrong)
        noise = estimate_noise(apply_temperature(probabilities.clip(1e-6), 1 / oversure), labels)
        found.append([noise.share, noise.low, noise.high])
    share, low, high = np.transpose(found)
    assert share.mean() == pytest.approx(wrong, abs=0.015)
    assert ((low <= wrong) & (wrong <= high)).mean() >= 0.85


def test_few_labels_leave_the_share_open():
    _, none = doubt_labels(plan_of([], []), pd.DataFrame())
    assert none[:3] == (0, 0, 1)
    one = estimate_noise(np.array([[0.01, 0.99]]), np.array([0]))
    assert one.high > 0.9


def plan_of(labels: list[str], annotators: list[str]) -> pd.DataFrame:
    sha256 = [f"{number:064x}" for number in range(len(labels))]
    return pd.DataFrame(
        {
            "label": labels,
            "sha256": sha256,
            "annotators": [(who,) for who in annotators],
            "action": "add",
            "destination": [f"{label}/{name}.png" for label, name in zip(labels, sha256, strict=True)],
            "previous": "",
            "reason": "new",
        }
    )


@pytest.fixture
def judged() -> pd.DataFrame:
    """A hundred labels; ann mistook the first four, and one of another class than the model's is bob's."""
    chance = np.random.default_rng(1)
    true = chance.choice(["a", "b", "c"], 100)
    opinions = pd.DataFrame(0.01, index=range(100), columns=["a", "b", "c"])
    for number, label in enumerate(true):
        opinions.loc[number, label] = 0.98
    labels = [{"a": "b", "b": "c", "c": "a"}[label] if number < 4 else label for number, label in enumerate(true)]
    labels[50] = "of another class"
    return doubt_labels(plan_of(labels, ["ann"] * 50 + ["bob"] * 50), opinions)[0]


def test_the_least_believed_labels_come_first_and_unknown_classes_get_no_opinion(judged):
    assert len(judged) == 99
    assert set(judged.index[:4]) == {0, 1, 2, 3}
    assert list(judged.index[judged["suspect"]]) == list(judged.index[:4])
    assert judged.loc[0, "opinion"] != judged.loc[0, "label"]
    assert judged.loc[0, "believed"] == pytest.approx(0.01)


def test_annotators_are_told_apart(judged):
    sentence = describe_look(SecondLook(judged, Noise(0, 0, 1)))
    assert sentence.startswith("4 of 99 new labels look wrong")
    by_ann = re.search(r"By annotator: ann \(4 of 50, about (.*) %\)\.$", sentence)
    assert by_ann
    assert float(by_ann[1]) == pytest.approx(100 * 4 / 50, abs=2)


def test_without_an_opinion_there_is_a_sentence():
    judged, _ = doubt_labels(plan_of([], []), pd.DataFrame())
    assert "no opinion" in describe_look(SecondLook(judged, None))


def test_suspects_leave_the_training_set_and_stay_held_out():
    labels = ["a"] * 60
    opinions = pd.DataFrame({"a": [0.001] * 30 + [0.999] * 30, "b": [0.999] * 30 + [0.001] * 30})
    plan = plan_of(labels, ["ann"] * 60)
    judged, _ = doubt_labels(plan, opinions)
    plan.loc[0, "action"] = "keep"  # it is in the training set already: a second look takes nothing out of it
    left = leave_out_suspects(plan, judged, PREPARE)
    held_out = [is_held_out(sha256, PREPARE.seed, PREPARE.validation_fraction) for sha256 in plan["sha256"]]
    out = left["action"] == "leave out"
    assert not out[0]
    assert out[1:30].tolist() == [not held for held in held_out[1:30]]
    assert not out[30:].any()
    assert (left.loc[out, ["destination", "previous"]] == "").all(axis=None)
    assert any(held_out[1:30])


def rounds(chance, wrong: float, blur: float, images: int) -> tuple[np.ndarray, np.ndarray]:
    """The opinion of a model, trained on 300 digits, of others, blurred to be hard, and labels with a wrong share."""
    pixels, classes = load_digits(return_X_y=True)
    order = chance.permutation(len(pixels))
    old, new = order[:300], order[300 : 300 + images]
    model = LogisticRegression(C=10, max_iter=200).fit(pixels[old] / 16, classes[old])
    opinions = softmax(model.decision_function(pixels[new] / 16 + chance.normal(0, blur, (images, 64))))
    labels, mistaken = classes[new].copy(), chance.random(images) < wrong
    labels[mistaken] = (labels[mistaken] + chance.integers(1, 10, mistaken.sum())) % 10
    return opinions, labels


@pytest.mark.slow
@pytest.mark.parametrize(("blur", "right", "labels"), [(0.0, 0.93, 150), (0.25, 0.85, 150), (0.4, 0.73, 150)])
def test_honest_rounds_pass_however_hard_and_rounds_with_a_fifth_wrong_do_not(blur, right, labels):
    chance = np.random.default_rng(0)
    honest = [rounds(chance, 0.0, blur, labels) for _ in range(40)]
    assert np.mean([(p.argmax(axis=1) == y).mean() for p, y in honest]) == pytest.approx(right, abs=0.03)
    assert np.mean([is_stopped(*one) for one in honest]) <= 0.05
    spoilt = [rounds(chance, 0.2, blur, labels) for _ in range(40)]
    assert np.mean([is_stopped(*one) for one in spoilt]) >= 0.95


def is_stopped(opinions: np.ndarray, labels: np.ndarray) -> bool:
    comparison = comparison_of(outcome(both=400))
    finding = Finding([labels_rule(estimate_noise(opinions, labels), 0.05)])
    return not decide(comparison, {"second_look": finding}).accepted


@pytest.mark.slow
def test_most_of_the_least_believed_digits_are_the_wrong_ones():
    opinions, labels = rounds(np.random.default_rng(3), 0.05, 0.0, 1000)
    truth, _ = rounds(np.random.default_rng(3), 0.0, 0.0, 1000)
    assert np.array_equal(opinions, truth)
    _, right = rounds(np.random.default_rng(3), 0.0, 0.0, 1000)
    plan = plan_of([DIGITS[label] for label in labels], ["ann"] * 1000)
    judged, noise = doubt_labels(plan, pd.DataFrame(opinions, columns=DIGITS))
    wrong = labels != right
    assert wrong[judged.index[: wrong.sum()]].mean() >= 0.85
    assert noise.low <= wrong.mean() <= noise.high


@pytest.mark.slow
def test_suspects_that_stay_held_out_leave_the_accuracy_unbiased():
    """Of honest but hard rounds: a held-out set without suspects would flatter the model, one with them does not."""
    pixels, classes = load_digits(return_X_y=True)
    kept, dropped = [], []
    for seed in range(40):
        chance = np.random.default_rng(seed)
        order = chance.permutation(len(pixels))
        images = pixels / 16 + chance.normal(0, 0.4, pixels.shape)
        old, new, fresh = order[:200], order[200:900], order[900:]
        first = LogisticRegression(C=10, max_iter=200).fit(images[old], classes[old])
        opinions = softmax(first.decision_function(images[new]))
        # The worst case: whatever the old model gets wrong is called a suspect.
        suspect = opinions.argmax(axis=1) != classes[new]
        held_out = chance.random(len(new)) < 0.3
        training = new[~held_out & ~suspect]
        second = LogisticRegression(C=10, max_iter=200).fit(images[training], classes[training])
        truth = second.score(images[fresh], classes[fresh])
        kept.append(second.score(images[new[held_out]], classes[new[held_out]]) - truth)
        dropped.append(second.score(images[new[held_out & ~suspect]], classes[new[held_out & ~suspect]]) - truth)
    assert np.mean(kept) == pytest.approx(0, abs=0.01)
    assert np.mean(dropped) > 0.05
