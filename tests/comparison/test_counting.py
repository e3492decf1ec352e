"""Where images come in scenes, figures are as sure as scenes make them; simulations against independent formulas."""

import numpy as np
import pandas as pd
import pytest
from score_tables import compared, comparison_of, decided, images, outcome, says
from statsmodels.stats.proportion import proportion_confint

from helpers.comparison.counting import count_pairs, design_effect, measure_shares, vote
from helpers.comparison.rules import list_rules
from helpers.comparison.scores import populations, score_images
from helpers.comparison.statistics import difference_interval
from helpers.comparison.tables import per_class, summary


def cluster_variance(values: np.ndarray, scenes: np.ndarray) -> float:
    """The variance of a mean of clustered values, as survey textbooks write it, by a plain loop (Cochran 1977)."""
    groups = [values[scenes == scene] for scene in np.unique(scenes)]
    totals = [sum(group - values.mean()) for group in groups]
    return len(groups) / (len(groups) - 1) * sum(total**2 for total in totals) / len(values) ** 2


class TestDesignEffect:
    @pytest.mark.parametrize("seed", range(5))
    def test_is_the_ratio_of_the_variances_of_the_mean(self, seed):
        chance = np.random.default_rng(seed)
        scenes = np.repeat(np.arange(80), chance.integers(1, 12, 80))
        values = chance.choice([-1.0, 0.0, 1.0], 80)[scenes] * (chance.random(len(scenes)) < 0.8)
        expected = cluster_variance(values, scenes) / (values.var() / len(values))
        assert design_effect(values, scenes) == pytest.approx(expected)

    def test_images_that_count_by_themselves_have_none(self):
        values = [1, 0, 1, -1]
        assert design_effect(values, None) == design_effect(values, list("abcd")) == design_effect([], []) == 1

    def test_few_scenes_or_equal_answers_make_each_scene_count_as_one_image(self):
        few, many = np.repeat(np.arange(49), 4), np.repeat(np.arange(60), 4)
        chance = np.random.default_rng(0)
        assert design_effect(chance.choice([0, 1], len(few)), few) == 4
        assert design_effect(np.zeros(len(many)), many) == 4
        assert design_effect(chance.choice([0, 1], len(many)), many) < 2
        unequal = np.repeat(np.arange(60), [200, *[4] * 59])
        assert design_effect(chance.choice([0, 1], len(unequal)), unequal) == (200**2 + 59 * 16) / (200 + 59 * 4)

    def test_scenes_whose_images_differ_more_than_chance_are_no_gain(self):
        scenes = np.repeat(np.arange(100), 2)
        assert design_effect(np.tile([0, 1], 100), scenes) == 1


def test_a_scene_of_one_image_changes_no_figure():
    scores = pd.concat([outcome(90, 8, 3, 9), outcome(50, 4, 3, 9, label="dog", population="new")], ignore_index=True)
    alone = scores.assign(scene=[f"s{number}" for number in range(len(scores))])
    assert summary(alone, 0.95).drop(columns="scenes").equals(summary(scores, 0.95))
    pd.testing.assert_frame_equal(per_class(alone), per_class(scores))
    assert count_pairs(alone)[:4] == count_pairs(scores)[:4]
    same = [(rule.rule, rule.passed) for rule in list_rules(comparison_of(scores))]
    assert [(rule.rule, rule.passed) for rule in list_rules(comparison_of(alone))] == same


def test_intervals_of_shares_are_wilsons_of_as_many_independent_images():
    right = pd.Series([True] * 30 + [False] * 10 + [True] * 7)
    by, scenes = pd.Series(["a"] * 40 + ["b"] * 7), pd.Series([n // 5 for n in range(40)] + list(range(50, 57)))
    table = measure_shares(right, by, scenes)
    low, high = proportion_confint(30 / 5, 40 / 5, method="wilson")
    assert list(table.loc["a"]) == pytest.approx([40, 0.75, low, high])
    low, high = proportion_confint(7, 7, method="wilson")
    assert list(table.loc["b"]) == pytest.approx([7, 1, low, high])


def test_each_scene_has_one_vote_in_each_class():
    values, by = pd.Series([1, 1, -1, -1, 1, -1, 0]), pd.Series(list("aaaabbb"))
    assert vote(values, by, None).to_dict("index") == {"a": {"won": 2, "lost": 2}, "b": {"won": 1, "lost": 1}}
    scenes = pd.Series(list("xxxyxyy"))
    assert vote(values, by, scenes).to_dict("index") == {"a": {"won": 1, "lost": 1}, "b": {"won": 1, "lost": 1}}
    assert vote(values, by, pd.Series(["x"] * 7)).to_dict("index") == {
        "a": {"won": 0, "lost": 0},
        "b": {"won": 0, "lost": 0},
    }


def in_scenes(scores: pd.DataFrame, size: int) -> pd.DataFrame:
    """The same scores, in scenes of so many neighbours."""
    return scores.reset_index(drop=True).assign(scene=[f"s{n // size}" for n in range(len(scores))])


class TestDecision:
    def test_a_gain_that_few_scenes_brought_is_not_called_one(self):
        scores = outcome(both=260, fixed=20, neither=20)
        assert decided(scores).verdict == "better"
        assert decided(in_scenes(scores, 10)).verdict == "undecided"

    def test_the_sentence_the_rules_and_the_facts_count_scenes(self):
        decision = decided(in_scenes(outcome(both=250, fixed=30, neither=20), 10))
        assert "of 300 held-out images of 30 scenes right" in decision.sentence
        rules = {rule.rule: rule.explanation for rule in decision.rules}
        assert rules["enough"] == "300 of 300 images scored, in 30 scenes; 6 scenes are needed."
        assert "300 held-out images of 30 scenes: no model can be accepted" in rules["margin"]
        assert any(note.startswith("With 300 held-out images of 30 scenes, an equally good") for note in decision.notes)
        assert any(note.startswith("30 scenes tell too little") for note in decision.notes)
        assert decision.accuracy
        assert decision.accuracy["scenes"] == 30

    def test_scenes_of_unequal_size_are_told_with_their_worth(self):
        scores = outcome(both=260, fixed=20, neither=20)
        scenes = ["video"] * 200 + [f"s{number}" for number in range(100)]
        (note,) = [note for note in decided(scores.assign(scene=scenes)).notes if "too little" in note]
        assert note.startswith("101 scenes of unequal size, worth 2, tell too little: below 50")

    def test_five_scenes_are_too_few_to_say_anything(self):
        decision = decided(in_scenes(outcome(both=50), 10))
        assert decision.sentence.startswith("Undecided: 50 of 50 held-out images of 5 scenes can be scored, too few")
        assert [(rule.rule, rule.passed) for rule in decision.rules] == [("enough", False)]

    def test_a_first_model_has_the_interval_of_its_scenes(self):
        held_out = images(["cat", "dog"] * 50).assign(scene=[f"s{n // 5}" for n in range(100)])
        decision = decided(score_images(held_out, says(held_out, ["cat"] * 100)))
        low, high = proportion_confint(10, 20, method="wilson")
        assert f"{100 * low:.1f} % to {100 * high:.1f} %" in decision.sentence
        assert "50.0 % of 100 held-out images of 20 scenes right" in decision.sentence

    def test_a_class_that_fell_in_one_scene_alone_is_not_refused(self):
        scores = pd.concat([outcome(both=250, fixed=40), outcome(both=24, broken=6, label="dog")], ignore_index=True)
        failed = {rule.rule for rule in decided(scores).rules if not rule.passed}
        assert failed == {"classes"}
        scenes = [f"s{n}" for n in range(314)] + ["dogs"] * 6
        assert not {rule.rule for rule in decided(scores.assign(scene=scenes)).rules if not rule.passed}

    def test_a_new_class_that_was_seen_in_one_scene_is_not_judged(self):
        actual = ["cat"] * 60 + ["fox"] * 9
        held_out = images(actual)
        old = says(held_out, ["cat"] * 69, ["cat", "dog"])
        new = says(held_out, ["cat"] * 69, ["cat", "dog", "fox"])

        def failed(held_out: pd.DataFrame) -> set[str]:
            rules = decided(score_images(held_out, new, old, held_out)).rules
            return {rule.rule for rule in rules if not rule.passed}

        assert "new classes" in failed(held_out)
        assert "new classes" not in failed(held_out.assign(scene=[f"s{n}" for n in range(60)] + ["one fox"] * 9))


def test_images_of_a_scene_that_the_old_model_was_trained_on_are_leaked():
    held_out = images(["cat"] * 4).assign(scene=["known", "known", "new", "new"])
    old_index = held_out[:1].assign(split="train")
    told = populations(held_out.assign(sha256=list("abcd")), old_index)
    assert told.tolist() == ["leaked", "leaked", "new", "new"]
    assert populations(held_out.drop(columns="scene"), old_index).tolist() == ["leaked", "new", "new", "new"]


def draw_pairs(chance: np.random.Generator, sizes: np.ndarray, alike: float, gain: float, loss: float) -> pd.DataFrame:
    """Two models on scenes: an image has its scene's outcome with the probability `alike`, else one of its own."""
    kinds, shares = np.array(["fixed", "broken", ""]), [gain, loss, 1 - gain - loss]
    of_scene = chance.choice(kinds, len(sizes), p=shares).repeat(sizes)
    own = chance.choice(kinds, sizes.sum(), p=shares)
    flips = np.where(chance.random(sizes.sum()) < alike, of_scene, own)
    return pd.DataFrame({"flip": flips, "scene": np.arange(len(sizes)).repeat(sizes)})


DRAWS = 1500
SIZES = {
    "1": lambda chance, scenes: np.ones(scenes, int),
    "4": lambda chance, scenes: np.full(scenes, 4),
    "10": lambda chance, scenes: np.full(scenes, 10),
    "50": lambda chance, scenes: np.full(scenes, 50),
    "1 to 50": lambda chance, scenes: np.exp(chance.uniform(0, np.log(51), scenes)).astype(int),
}


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scenes", [30, 60, 100, 300])
@pytest.mark.parametrize("alike", [1.0, 0.7])
def test_false_verdicts_are_rare_with_scenes_of_every_size(scenes, size, alike):
    chance = np.random.default_rng(1)
    bounds = []
    for _ in range(DRAWS):
        table = draw_pairs(chance, SIZES[size](chance, scenes), alike, 0.06, 0.06)
        bounds.append(difference_interval(*count_pairs(table)[:3], 0.95))
    low, high = np.array(bounds).T
    # Two standard errors of 1,500 draws are a point.
    assert (low > 0).mean() <= 0.07
    assert (high < 0).mean() <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scenes", [30, 60, 100, 300])
@pytest.mark.parametrize("churn", [0.01, 0.03, 0.06])
def test_a_model_that_is_worse_by_the_margin_is_rarely_accepted(scenes, size, churn):
    chance = np.random.default_rng(2)
    passed = []
    for _ in range(DRAWS):
        table = draw_pairs(chance, SIZES[size](chance, scenes), 1.0, churn, churn + 0.02)
        passed.append(difference_interval(*count_pairs(table)[:3], 0.95)[0] > -0.02)
    assert np.mean(passed) <= 0.11


@pytest.mark.slow
def test_counted_as_images_scenes_make_most_verdicts_false_ones():
    """The fault that scenes mend: with 100 scenes of ten images, of which both models err on whole ones."""
    chance, false = np.random.default_rng(3), 0
    for _ in range(300):
        table = draw_pairs(chance, np.full(100, 10), 1.0, 0.06, 0.06).drop(columns="scene")
        low, high = difference_interval(*count_pairs(table)[:3], 0.95)
        false += low > 0 or high < 0
    assert false / 300 > 0.5


def test_macro_f1_is_as_sure_as_its_scenes():
    rng = np.random.default_rng(0)
    actual = rng.choice(["cat", "dog"], 60).repeat(5)
    old = np.where((rng.random(60) < 0.8).repeat(5), actual, "other")
    new = np.where((rng.random(60) < 0.8).repeat(5), actual, "other")
    scores = compared(actual, old, new)
    images_alone = summary(scores, 0.95).loc["together"].loc["macro F1"]
    by_scene = summary(in_scenes(scores, 5), 0.95).loc["together"].loc["macro F1"]
    assert by_scene["difference"] == images_alone["difference"]
    widths = [row["high"] - row["low"] for row in (images_alone, by_scene)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(5), rel=0.1)
