"""End a round with a click, where a person sits at the notebook."""

from collections.abc import Callable
from functools import partial

import pandas as pd

from helpers.comparison.record import Decision
from helpers.figures.markup import render
from helpers.problems import Problem
from helpers.progress import Output, is_watched
from helpers.round.declining import can_decline, decline_round
from helpers.round.publishing import end_round
from helpers.round.record import read_decision
from helpers.round.state import find_state
from helpers.workspace import Workspace


def offer_buttons(
    workspace: Workspace,
    plan: pd.DataFrame,
    decision: Decision,
    show: Callable[[Decision, str], object],
    *,
    tag: bool = True,
    removed: str = "",
) -> None:
    """Offer to publish or to decline the round by buttons, unless it has ended, or nobody is there to click.

    A click gives `show` the decision and a sentence about each step, and the buttons go; a `Problem` stands below them.
    JupyterLab does not save the buttons: see notebooks/jupyter_server_config.py.
    """
    if not is_watched() or find_state(workspace) not in ("open", "committed", "half declined"):
        return
    from ipywidgets import HTML, Button, HBox, Text, VBox  # only this needs it

    accepted, wide = decision.accepted, {"width": "auto"}
    publish = Button(description="Publish", button_style="primary", tooltip="Push the data, then a commit and its tag")
    decline = Button(description="Decline", tooltip="Give back the workspace from before the round")
    anyway = Button(description="Publish anyway, because…", layout=wide, tooltip="The reason goes into the commit")
    reason, message = Text(placeholder="the reason", layout={"width": "24em"}), HTML()
    output = Output()

    def enable(_: object = None) -> None:
        publish.disabled, decline.disabled, reason.disabled = not accepted, not can_decline(workspace), accepted
        anyway.disabled = accepted or not reason.value.strip()

    def act(step: Callable[[], str]) -> None:
        for widget in (publish, decline, anyway, reason):
            widget.disabled = True
        message.value = "At work …"
        try:
            if read_decision(workspace).model != decision.model:
                raise Problem("There is a newer decision: run this cell again.")
            show(decision, step())
            output.show({"text/plain": ""})
        except Problem as problem:
            message.value = render("failure", text=problem)
            enable()

    end = partial(end_round, workspace, plan, decision, publish=True, tag=tag, removed=removed)
    enable()
    reason.observe(enable, "value")
    publish.on_click(lambda _: act(end))
    anyway.on_click(lambda _: act(lambda: end(publish_anyway=reason.value.strip())))
    decline.on_click(lambda _: act(lambda: decline_round(workspace)))
    box = VBox([HBox([publish, decline, anyway, reason]), message])
    output.show(box._repr_mimebundle_() | {"text/plain": ""})
