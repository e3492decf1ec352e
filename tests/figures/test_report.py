"""The texts and tables for a person say everything that the decision rests on."""

import pandas as pd
from score_tables import FACTS, comparison_of, images, outcome, says

from helpers.comparison.record import Decision, Rule
from helpers.comparison.scores import score_images
from helpers.figures.report import (
    describe_decision,
    figures_table,
    scenes_table,
    write_report,
)
from helpers.figures.style import Chart

RULES = [
    Rule("margin", False, "It begins too low."),
    Rule("classes", True, "None fell."),
    Rule("luck", None, "It is 3 points."),
]
DECISION = Decision(
    verdict="undecided",
    sentence="Undecided: too few.",
    accepted=False,
    rules=RULES,
    notes=["Not only the data changed."],
    **FACTS,
)
SECTION = pd.DataFrame({"Because": ["dark | light: a trial"]}, pd.Index(["model/v1"], name="Model"))


def test_the_verdict_comes_first_and_every_rule_says_how_it_ended():
    lines = describe_decision(DECISION).splitlines()
    assert lines[0] == "**Undecided: too few.** The new model is not accepted."
    assert lines[2:] == [
        "- ✗ *margin*: It begins too low.",
        "- ✓ *classes*: None fell.",
        "- · *luck*: It is 3 points.",
        "- Not only the data changed.",
    ]


def test_the_report_holds_verdict_table_and_picture(tmp_path):
    comparison = comparison_of(outcome(both=170, fixed=20, broken=2, neither=8))
    write_report(tmp_path, DECISION, comparison, Chart(), {"Told by an extra": SECTION})
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert describe_decision(DECISION) in text
    assert [line.split("|")[5].strip() for line in text.splitlines() if "| accuracy " in line][:2] == ["0.950", "0.950"]
    assert "- Export: annotations.json, with labels until 2026-01-05" in text
    assert "nan" not in text
    assert "](difference.png)" in text
    assert text.splitlines()[-5] == "## Told by an extra"
    assert r"| model/v1 | dark \| light: a trial |" in " ".join(text.splitlines()[-1].split())
    assert (tmp_path / "difference.png").read_bytes().startswith(b"\x89PNG")
    write_report(tmp_path, DECISION, comparison, None, {})
    assert "difference.png" not in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["report.md"]


def test_the_table_of_figures_holds_flips_beside_the_accuracy():
    table = figures_table(comparison_of(outcome(both=170, fixed=20, broken=2, neither=8))).reset_index()
    accuracy, loss = (table[table["Figure"] == name].iloc[-1] for name in ("accuracy", "loss"))
    assert accuracy[["Held-out images", "Count", "Old", "New", "New minus old"]].tolist() == [
        "together", "200", "0.860", "0.950", "+0.090",
    ]  # fmt: skip
    assert accuracy[["Fixed", "Broken"]].tolist() == ["20", "2"]
    assert accuracy["90 % interval"] == "+0.056 to +0.132"
    assert loss[["Fixed", "Broken"]].tolist() == ["", ""]


def test_images_that_chance_chose_have_a_row_of_their_own_where_others_were_chosen_by_a_model():
    scores = outcome(both=30, fixed=6, broken=2, neither=2)
    assert "chosen by chance" not in figures_table(comparison_of(scores)).index.get_level_values(0)
    scores["by_chance"] = [True] * 33 + [False] * 7
    row = figures_table(comparison_of(scores)).loc["chosen by chance"]
    assert row.index.tolist() == [("33", "accuracy")]
    assert row[["Old", "New", "Fixed", "Broken"]].to_numpy().tolist() == [["0.909", "1.000", "3", "0"]]
    scores.loc[~scores["by_chance"], ["scored", "flip"]] = False, ""
    assert "chosen by chance" not in figures_table(comparison_of(scores)).index.get_level_values(0)


def test_the_table_of_figures_of_a_first_model_has_its_own_figures_alone():
    held_out = images(["cat", "dog"])
    table = figures_table(comparison_of(score_images(held_out, says(held_out, ["cat", "cat"]))))
    assert list(table.columns) == ["New"]
    assert table["New"].iloc[0] == "0.500"
    assert figures_table(comparison_of(outcome(both=3, population="leaked"))).empty


def test_the_largest_scenes_are_listed_with_their_side_and_the_others_are_counted():
    sizes = {f"cam{number}": 20 - number for number in range(12)}
    rows = [(scene, "held-out" if scene == "cam1" else "train") for scene, size in sizes.items() for _ in range(size)]
    index = pd.DataFrame(rows, columns=["scene", "split"])
    index["sha256"] = [f"{number:064x}" for number in range(len(index))]
    alone = pd.DataFrame({"scene": ["f" * 64], "split": ["train"], "sha256": ["f" * 64]})
    told = str(scenes_table(pd.concat([index, alone])))
    lines = [line.split() for line in told.splitlines()[2:]]
    assert lines[0] == ["cam0", "20", "train"]
    assert lines[1] == ["cam1", "19", "held-out"]
    assert lines[9] == ["cam9", "11", "train"]
    assert lines[10][:4] == ["2", "other", "scenes", "19"]
    assert lines[11] == ["none", "1", "each", "image", "by", "itself"]


def test_where_no_scene_is_named_there_is_no_list():
    assert scenes_table(pd.DataFrame({"split": ["train"], "sha256": ["a"]})) is None


def test_the_table_of_figures_counts_scenes():
    scores = outcome(both=20).assign(scene=[f"s{number // 4}" for number in range(20)])
    assert set(figures_table(comparison_of(scores)).index.get_level_values("Count")) == {"20 of 5 scenes"}
