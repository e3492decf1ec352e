"""The verdict on a card: the outcome of a round at a glance, from its record in evaluation/decision.json."""

from typing import Any

import pandas as pd
from IPython.display import display

from helpers.comparison.decision import explain_acceptance, list_facts
from helpers.comparison.record import Decision
from helpers.comparison.rules import FEWEST_IMAGES
from helpers.comparison.words import points
from helpers.figures.charts import difference
from helpers.figures.markup import Shown, render

WAITING = "The verdict will stand here as soon as the models are compared."


class Card:
    """The card in all cells that have placed it; a notice stands there until there is a verdict."""

    def __init__(self) -> None:
        self._places: list[Any] = []
        self._shown = Shown(render("waiting", text=WAITING), WAITING)

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
    chart = None
    change = decision.accuracy
    if change and change.get("scenes", change["images"]) >= FEWEST_IMAGES and "difference" in change:
        headline += f", {points(change['difference'])} points"
        overall = pd.DataFrame([change]).set_index(["population", "metric"])
        chart = difference(overall, decision.policy, width=4.2)
    headline = "; ".join(filter(None, [headline, decision.headline]))
    outcome, facts = explain_acceptance(decision), list_facts(decision)
    parts = {"headline": headline, "outcome": outcome, "chart": chart, "facts": facts, "state": state.splitlines()}
    text = [f"{headline}. {outcome}", *decision.failures, *(f"{name}: {fact}" for name, fact in facts)]
    return Shown(render("card", decision=decision, **parts), "\n".join(filter(None, [*text, *decision.notes, state])))
