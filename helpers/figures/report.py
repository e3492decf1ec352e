"""Tables for a person, and the page for a pull request."""

from pathlib import Path
from typing import Any

import pandas as pd

from helpers.comparison.scores import Comparison
from helpers.comparison.tables import models_in, name_exports, slices
from helpers.comparison.words import p_value, percent, signed
from helpers.figures.card import explain_acceptance, list_facts
from helpers.figures.style import Chart


def figures_table(comparison: Comparison) -> pd.DataFrame:
    """Return the figures of both models, as text, by population and metric; flips stand beside the accuracy.

    `Mid p` and `Exact p` are McNemar's: the probability of so lopsided a count of flips by chance.
    """
    if comparison.summary.empty:
        return pd.DataFrame()
    summary = comparison.summary.reset_index().merge(comparison.tally.drop(columns="images"), on="population")
    table = summary[["population", "images", "metric"]].astype(str)
    table.columns = ["Held-out images", "Count", "Figure"]
    for name in models_in(comparison.scores):
        table[name.capitalize()] = summary[name].map("{:.3f}".format)
    if "old" in summary:
        change, low, high = (summary[name].map(lambda x: signed(x, 3)) for name in ("difference", "low", "high"))
        table["New minus old"] = change
        table["95 % interval"] = (low + " to " + high).where(summary["low"].notna(), "")
        columns = {"fixed": "{:,}".format, "broken": "{:,}".format, "mid_p": p_value, "exact_p": p_value}
        for column, write in columns.items():
            texts = summary[column].map(write).where(summary["metric"] == "accuracy", "")
            table[column.replace("_p", " p").capitalize()] = texts
    return table.set_index(["Held-out images", "Count", "Figure"])


def annotators_table(annotators: pd.DataFrame) -> pd.DataFrame:
    """Write the table of `helpers.labels.annotators.describe_annotators` as text."""
    table = annotators.assign(seconds=annotators["seconds"].map("{:.1f}".format, na_action="ignore"))
    shares = table.columns.intersection(["agreed", "right"])
    table[shares] = table[shares].map(percent, na_action="ignore").astype(object)
    headings = {"seconds": "seconds an image", "shared": "shared with others", "agreed": "others agreed"}
    headings |= {"checked": "with ground truth", "right": "agreed with it"}
    return table.rename(columns=headings).rename(columns=str.capitalize).rename_axis("Annotator")


def rules_table(decision: dict[str, Any]) -> pd.DataFrame:
    """Write the rules of a decision, whether each is met, and why."""
    rules = pd.DataFrame(decision["rules"], columns=["rule", "passed", "explanation"])
    rules["passed"] = rules["passed"].map({True: "✓ met", False: "✗ not met"})
    return rules.set_axis(["Rule", "Outcome", "Finding"], axis=1).set_index("Rule")


def describe_decision(decision: dict[str, Any]) -> str:
    """Write the verdict, the rules with their findings, and the limits of the comparison, as Markdown."""
    lines = [f"**{decision['sentence']}** {explain_acceptance(decision)}", ""]
    for rule in decision["rules"]:
        lines.append(f"- {'✓' if rule['passed'] else '✗'} *{rule['rule']}*: {rule['explanation']}")
    return "\n".join([*lines, *(f"- {note}" for note in decision["notes"])])


def rounds_table(rounds: pd.DataFrame) -> pd.DataFrame:
    """Write the story of the rounds, from `helpers.round.story.read_rounds`, as text."""
    accuracy, low, high = (rounds[name].map(percent, na_action="ignore") for name in ("accuracy", "low", "high"))
    table = rounds.assign(accuracy=accuracy, low=low + " to " + high).drop(columns="high")
    if table["published_because"].isna().all():
        table = table.drop(columns="published_because")
    counts = ["training_images", "held_out_images", "added", "corrected"]
    table[counts] = table[counts].map("{:,}".format, na_action="ignore").astype("string")
    table = table.rename(columns={"name": "model", "low": "95 % interval", "held_out_images": "held-out images"})
    table = table.rename(columns=lambda name: name.replace("_", " ").capitalize())
    return table.astype("string").fillna("").set_index("Model")


def write_report(
    folder: Path, decision: dict[str, Any], comparison: Comparison, difference: Chart | None, rounds: pd.DataFrame
) -> None:
    """Write the page for a pull request: ``report.md``, and ``difference.png`` if there is a chart."""
    picture = folder / "difference.png"
    facts = "\n".join(f"- {name}: {fact}" for name, fact in list_facts(decision))
    parts = ["# Old beside new", describe_decision(decision), facts]
    picture.unlink(missing_ok=True)  # of an earlier round
    if difference:
        difference.savefig(picture, dpi=200, metadata={"Software": None})
        parts.append(f"![{difference.finding}](difference.png)")
    table = figures_table(comparison).reset_index()
    parts.append(table.to_markdown(index=False, disable_numparse=True))
    story = rounds_table(rounds).replace(r"\|", r"\|", regex=True)  # a reason may have the mark between cells
    parts += ["## The story of the rounds", story.to_markdown(disable_numparse=True)]
    (folder / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def doubtful_slices(comparison: Comparison) -> pd.DataFrame | None:
    """Return the slices whose labels the new model contradicts more than chance explains; None without any."""
    doubtful = slices(comparison.scores, comparison.lineage).query("suspect")
    if doubtful.empty:
        return None
    table = doubtful[["images"]].set_axis(["Images"], axis=1)
    table["Accuracy"] = doubtful["accuracy"].map(percent)
    table["95 % interval"] = doubtful["low"].map(percent) + " to " + doubtful["high"].map(percent)
    table["p"] = doubtful["p"].map(p_value)
    # A person knows a round by its date.
    last_label = comparison.lineage.groupby(name_exports(comparison.lineage))["updated_at"].max().dropna()
    dates = last_label.dt.strftime("until %Y-%m-%d %H:%M").to_dict()
    return table.rename_axis(["Labels by", "Name"]).rename(index=dates, level="Name")
