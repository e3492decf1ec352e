"""The verdict on a card: the outcome of a round at a glance, from its record in evaluation/decision.json."""

from typing import Any

import pandas as pd
from IPython.display import display

from helpers.comparison.decision import FEWEST_IMAGES, explain_acceptance, list_facts
from helpers.comparison.record import Decision, Rule
from helpers.comparison.words import points
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

    def show(self, decision: Decision, state: str) -> None:
        """Show the outcome of a round in all places; see `show_card`."""
        self._shown = show_card(decision, state)
        for place in self._places:
            place.update(self._shown)


def show_card(decision: Decision, state: str = "") -> Shown:
    """Show the outcome of a round; `state` tells, a sentence a line, how the round stands and which step is next."""
    headline = decision.verdict.capitalize() if decision.verdict != "first" else "First model"
    drawing = ""
    change = decision.accuracy
    if change and change["images"] >= FEWEST_IMAGES and "difference" in change:
        headline += f", {points(change['difference'])} points"
        overall = pd.DataFrame([change]).set_index(["population", "metric"])
        drawing = difference(overall, decision.policy["margin"], width=4.2).shown().html
    headline = "; ".join(filter(None, [headline, decision.headline]))
    outcome, facts, failed = explain_acceptance(decision), list_facts(decision), decision.failures
    edge = GOOD if decision.accepted else BAD
    parts = [
        f'<div style="font-size:1.8em; font-weight:bold; line-height:1.2">{escape(headline)}</div>',
        f"<div>{escape(outcome)}</div>",
        drawing,
        f'<div style="{WRAP}; gap:0.5em; margin:0.8em 0">{"".join(map(_chip, decision.rules))}</div>',
        *(f'<div style="margin-bottom:0.4em"><span style="color:{BAD}">✗</span> {prose(why)}</div>' for why in failed),
        *(
            f'<div style="display:flex; gap:1em"><span style="flex:0 0 5em; {QUIET}">{name}</span>'
            f'<span style="overflow-wrap:anywhere">{escape(fact)}</span></div>'
            for name, fact in facts
        ),
        *(f'<div style="margin-top:0.5em; {QUIET}">{prose(note)}</div>' for note in decision.notes),
        *(f'<div style="margin-top:0.5em; font-weight:bold">{prose(line)}</div>' for line in state.splitlines()),
    ]
    text = [f"{headline}. {outcome}", *failed, *(f"{name}: {fact}" for name, fact in facts), *decision.notes, state]
    html = f'<div style="{BOX}; border-left:6px solid {edge}">{"".join(parts)}</div>'
    return Shown(html, "\n".join(filter(None, text)))


def _chip(rule: Rule) -> str:
    mark, colour = {True: ("✓", GOOD), False: ("✗", BAD), None: ("i", "#888888")}[rule.passed]
    return (
        f'<span title="{escape(rule.explanation)}" style="border:1px solid {colour}; border-radius:1em; '
        f'padding:0 0.7em; white-space:nowrap"><span style="color:{colour}">{mark}</span> {escape(rule.rule)}</span>'
    )
