"""What a person has to read says everything that the decision rests on."""

import pandas as pd
from matplotlib.figure import Figure

from helpers.comparison.report import describe_decision, for_review, write_report

DECISION = {
    "sentence": "Undecided: too few.",
    "accepted": False,
    "rules": [
        {"rule": "margin", "passed": False, "explanation": "It begins too low."},
        {"rule": "classes", "passed": True, "explanation": "None fell."},
    ],
    "notes": ["Not only the data changed."],
}


def test_the_verdict_comes_first_and_every_rule_says_how_it_ended():
    lines = describe_decision(DECISION).splitlines()
    assert lines[0] == "**Undecided: too few.** The new model is **not accepted**."
    assert lines[2:] == [
        "- ✗ *margin*: It begins too low.",
        "- ✓ *classes*: None fell.",
        "- Not only the data changed.",
    ]


def test_the_report_holds_verdict_table_and_picture(tmp_path):
    index = pd.MultiIndex.from_tuples([("together", "accuracy")], names=["population", "metric"])
    figures = pd.DataFrame({"images": [60], "old": [0.5], "new": [0.75], "low": [float("nan")]}, index=index)
    write_report(tmp_path, DECISION, figures, Figure())
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert describe_decision(DECISION) in text
    assert "| together     | accuracy |       60 | 0.500 | 0.750 |" in text
    assert "nan" not in text
    assert "](difference.png)" in text
    assert (tmp_path / "difference.png").read_bytes().startswith(b"\x89PNG")


def test_only_what_somebody_labelled_in_vain_needs_a_person():
    plan = pd.DataFrame(
        {
            "action": ["leave out", "leave out", "leave out", "add"],
            "status": ["conflict", "unlabelled", "labelled", "labelled"],
            "tasks": [(3, 4), (5,), (6,), (7,)],
            "annotators": [("1", "2"), (), ("1",), ("1",)],
            "labels": [("Moon", "Mars"), (), ("..",), ("Moon",)],
        }
    )
    review = for_review(plan)
    assert review[["tasks", "labels"]].to_numpy().tolist() == [["3, 4", "Moon, Mars"], ["6", ".."]]
