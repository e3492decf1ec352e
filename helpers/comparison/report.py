"""What a person has to read: what needs a look, and the decision in words."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure


def for_review(plan: pd.DataFrame) -> pd.DataFrame:
    """Pick the images of a merge plan that need a person: left out although somebody labelled them.

    Parameters
    ----------
    plan : DataFrame
        From `dataset.plan_merge`.

    Returns
    -------
    DataFrame
        Rows of `plan`, with what there are several of as one str.
    """
    rows = plan[(plan["action"] == "leave out") & ~plan["status"].isin(["unlabelled", "skipped"])]
    return rows.assign(**{name: rows[name].map(_enumerate) for name in ("tasks", "annotators", "labels")})


def _enumerate(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))


def describe_decision(decision: dict[str, Any]) -> str:
    """Write the verdict, the rules that it passed or failed, and what limits it, as Markdown.

    Parameters
    ----------
    decision : dict
        From `rounds.record_decision`.
    """
    accepted = "The new model is **accepted**." if decision["accepted"] else "The new model is **not accepted**."
    rules = [
        f"- {'✓' if rule['passed'] else '✗'} *{rule['rule']}*: {rule['explanation']}" for rule in decision["rules"]
    ]
    notes = [f"- {note}" for note in decision["notes"]]
    return "\n".join([f"**{decision['sentence']}** {accepted}", "", *rules, *notes])


def write_report(folder: Path, decision: dict[str, Any], figures: pd.DataFrame, difference: Figure) -> None:
    """Write what a pull request shows: ``report.md`` and its picture ``difference.png``.

    Parameters
    ----------
    folder : Path
        Where to write.
    decision : dict
        From `rounds.record_decision`.
    figures : DataFrame
        From `comparison.summary`.
    difference : Figure
        From `charts.difference`.
    """
    rows = figures.reset_index().astype(object)
    table = rows.where(rows.notna(), None).to_markdown(index=False, floatfmt=".3f", missingval="")
    parts = ["# Old beside new", describe_decision(decision), "![Change of accuracy](difference.png)", table]
    (folder / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    difference.savefig(folder / "difference.png", metadata={"Software": None})
