"""Tables for a person, and the page for a pull request."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from helpers.comparison.decision import explain_acceptance, list_facts
from helpers.comparison.record import Decision
from helpers.comparison.scores import Comparison
from helpers.comparison.tables import models_in, summary, tally
from helpers.comparison.words import count_of, interval_name, signed
from helpers.figures import markup
from helpers.figures.style import Chart, shorten

LARGEST = 10  # scenes that are listed by name
OUTCOMES = {True: "✓ met", False: "✗ not met", None: "· for information"}  # of rules


def figures_table(comparison: Comparison) -> pd.DataFrame:
    """Return the figures of both models, as text, by population and metric; flips stand beside the accuracy.

    Where some scored images were chosen because a model was least certain of them, a last row is about the others.
    """
    if comparison.summary.empty:
        return pd.DataFrame()
    scores, confidence = comparison.scores, comparison.policy.confidence
    figures = _join(comparison.summary, comparison.tally)
    by_chance = scores[scores["by_chance"]]
    if 0 < by_chance["scored"].sum() < scores["scored"].sum():
        rows = _join(summary(by_chance, confidence), tally(by_chance))
        row = rows[rows["population"].eq("together") & rows["metric"].eq("accuracy")]
        figures = pd.concat([figures, row.assign(population="chosen by chance")], ignore_index=True)
    table = figures[["population", "images", "metric"]].astype(str)
    table.columns = ["Held-out images", "Count", "Figure"]
    if "scenes" in figures:
        table["Count"] += " of " + figures["scenes"].map(lambda scenes: count_of(scenes, "scene"))
    for name in models_in(scores):
        table[name.capitalize()] = figures[name].map("{:.3f}".format)
    if "old" in figures:
        change, low, high = (figures[name].map(lambda x: signed(x, 3)) for name in ("difference", "low", "high"))
        table["New minus old"] = change
        table[interval_name(confidence)] = (low + " to " + high).where(figures["low"].notna(), "")
        for column in ("fixed", "broken"):
            table[column.capitalize()] = figures[column].map("{:,}".format).where(figures["metric"] == "accuracy", "")
    return table.set_index(["Held-out images", "Count", "Figure"])


def _join(figures: pd.DataFrame, flips: pd.DataFrame) -> pd.DataFrame:
    """Put the flips of each population, from `tally`, beside its figures, from `summary`."""
    return figures.reset_index().merge(flips.drop(columns="images"), on="population")


def scenes_table(index: pd.DataFrame) -> markup.Shown | None:
    """Show the largest scenes with their number of images and their side, then the others; nothing if none is named.

    `index` is that of the stage ``prepare``: `split`, `sha256` and, where scenes are named, `scene`.
    """
    if "scene" not in index:
        return None
    named = index[index["scene"] != index["sha256"]]
    scenes = named.groupby("scene")["split"].agg(["size", "first"]).sort_values("size", ascending=False, kind="stable")
    largest, others = scenes.head(LARGEST), scenes.iloc[LARGEST:]
    rows = [(shorten(name, 60), f"{images:,}", side) for name, images, side in largest.itertuples()]
    if len(others):
        rows.append((count_of(len(others), "other scene"), f"{others['size'].sum():,}", "each on one side"))
    if alone := len(index) - len(named):
        rows.append(("none", f"{alone:,}", "each image by itself"))
    return markup.table(pd.DataFrame(rows, columns=["Scene", "Images", "Side"]).set_index("Scene"))


def rules_table(decision: Decision) -> pd.DataFrame:
    """Write the rules of a decision, whether each is met, and why."""
    rules = pd.DataFrame(map(asdict, decision.rules), columns=["rule", "passed", "explanation"])
    rules["passed"] = [OUTCOMES[rule.passed] for rule in decision.rules]
    return rules.set_axis(["Rule", "Outcome", "Finding"], axis=1).set_index("Rule")


def describe_decision(decision: Decision) -> str:
    """Write the verdict, the rules with their findings, and the limits of the comparison, as Markdown."""
    lines = [f"**{decision.sentence}** {explain_acceptance(decision)}", ""]
    for rule in decision.rules:
        lines.append(f"- {OUTCOMES[rule.passed][0]} *{rule.rule}*: {rule.explanation}")
    return "\n".join([*lines, *(f"- {note}" for note in decision.notes)])


def write_report(
    folder: Path,
    decision: Decision,
    comparison: Comparison,
    difference: Chart | None,
    sections: Mapping[str, pd.DataFrame],
) -> None:
    """Write the page for a pull request: ``report.md``, and ``difference.png`` if there is a chart.

    The tables of text `sections`, by their headings, come last.
    """
    picture = folder / "difference.png"
    facts = "\n".join(f"- {name}: {fact}" for name, fact in list_facts(decision))
    parts = ["# Old beside new", describe_decision(decision), facts]
    picture.unlink(missing_ok=True)  # of an earlier round
    if difference:
        difference.savefig(picture, dpi=200, metadata={"Software": None})
        parts.append(f"![{difference.finding}](difference.png)")
    table = figures_table(comparison).reset_index()
    parts.append(table.to_markdown(index=False, disable_numparse=True))
    for heading, section in sections.items():
        cells = section.replace(r"\|", r"\|", regex=True)  # text may have the mark between cells
        parts += [f"## {heading}", cells.to_markdown(disable_numparse=True)]
    (folder / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
