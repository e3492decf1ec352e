"""The verdict on a card: the outcome of a round at a glance, from its record in evaluation/decision.json."""

from typing import Any

import pandas as pd
from IPython.display import display

from helpers.comparison.decision import FEWEST_IMAGES, failed_rules
from helpers.comparison.words import count_of, percent, points
from helpers.figures.charts import difference
from helpers.figures.markup import QUIET, WRAP, Shown, escape, prose

GOOD, BAD = "#009E73", "#D55E00"  # Okabe and Ito's green and vermilion: legible on light and on dark
BOX = (
    "border:1px solid #88888866; border-radius:6px; padding:1em 1.2em; margin:0.5em 0; max-width:60em; line-height:1.5"
)
WAITING = "The verdict will stand here as soon as the models are compared."


class Card:
    """The card in all cells that have placed it; a notice stands there until there is a verdict."""

    def __init__(self) -> None:
        self._places: list[Any] = []
        self._shown = Shown(f'<div style="{BOX}; {QUIET}">{WAITING}</div>', WAITING)

    def place(self) -> None:
        """Show the card below this cell, too."""
        self._places.append(display(self._shown, display_id=True))

    def show(self, decision: dict[str, Any], state: str) -> None:
        """Show the outcome of a round in all places; see `show_card`."""
        self._shown = show_card(decision, state)
        for place in self._places:
            place.update(self._shown)


def show_card(decision: dict[str, Any], state: str = "") -> Shown:
    """Show the outcome of a round; `state` tells, a sentence a line, how the round stands and which step is next."""
    headline = decision["verdict"].capitalize() if decision["verdict"] != "first" else "First model"
    drawing = ""
    change = _find_accuracy(decision)
    if change and change["images"] >= FEWEST_IMAGES and "difference" in change:
        headline += f", {points(change['difference'])} points"
        overall = pd.DataFrame([change]).set_index(["population", "metric"])
        drawing = difference(overall, decision["policy"]["margin"], width=4.2).shown().html
    outcome = explain_acceptance(decision)
    facts = list_facts(decision)
    failed = failed_rules(decision)
    edge = GOOD if decision["accepted"] else BAD
    parts = [
        f'<div style="font-size:1.8em; font-weight:bold; line-height:1.2">{escape(headline)}</div>',
        f"<div>{escape(outcome)}</div>",
        drawing,
        f'<div style="{WRAP}; gap:0.5em; margin:0.8em 0">{"".join(map(_chip, decision["rules"]))}</div>',
        *(f'<div style="margin-bottom:0.4em"><span style="color:{BAD}">✗</span> {prose(why)}</div>' for why in failed),
        *(
            f'<div style="display:flex; gap:1em"><span style="flex:0 0 5em; {QUIET}">{name}</span>'
            f'<span style="overflow-wrap:anywhere">{escape(fact)}</span></div>'
            for name, fact in facts
        ),
        *(f'<div style="margin-top:0.5em; {QUIET}">{prose(note)}</div>' for note in decision["notes"]),
        *(f'<div style="margin-top:0.5em; font-weight:bold">{prose(line)}</div>' for line in state.splitlines()),
    ]
    text = [f"{headline}. {outcome}", *failed, *(f"{name}: {fact}" for name, fact in facts), *decision["notes"], state]
    html = f'<div style="{BOX}; border-left:6px solid {edge}">{"".join(parts)}</div>'
    return Shown(html, "\n".join(filter(None, text)))


def explain_acceptance(decision: dict[str, Any]) -> str:
    """Say whether the new model is accepted, and why it may be so without being better."""
    if not decision["accepted"]:
        return "The new model is not accepted."
    if decision["verdict"] in ("equivalent", "undecided"):
        return "The new model is accepted: it is not worse by more than the margin."
    return "The new model is accepted."


def list_facts(decision: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts behind a decision, each after its name."""
    models = f"{decision['baseline']} → model {decision['model']}"
    if decision["baseline"] != decision["replaces"]:
        models += f", which would replace {decision['replaces']}"
    facts = [("Models", models)]
    if row := _find_accuracy(decision):
        before = f"{percent(row['old'])} → " if "old" in row else ""
        facts.append(("Accuracy", f"{before}{percent(row['new'])} of {count_of(row['images'], 'held-out image')}"))
    added, corrected = decision["changes"]["added"], decision["changes"]["corrected"]
    trained = f"{count_of(added, 'image')} added, {count_of(corrected, 'label')} corrected"
    facts.append(("Data", f"{trained}; the new model has learnt from {decision['trained_on']:,}"))
    until = f", with labels until {decision['labels_until']}" if decision["labels_until"] else ""
    return [*facts, ("Export", f"{decision['export']}{until}")]


def _find_accuracy(decision: dict[str, Any]) -> dict[str, Any] | None:
    """The accuracy on all images that count; None if there are none."""
    rows = (row for row in decision["figures"] if (row["population"], row["metric"]) == ("together", "accuracy"))
    return next(rows, None)


def _chip(rule: dict[str, Any]) -> str:
    mark, colour = ("✓", GOOD) if rule["passed"] else ("✗", BAD)
    return (
        f'<span title="{escape(rule["explanation"])}" style="border:1px solid {colour}; border-radius:1em; '
        f'padding:0 0.7em; white-space:nowrap"><span style="color:{colour}">{mark}</span> {escape(rule["rule"])}</span>'
    )
