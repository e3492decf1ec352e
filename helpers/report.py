"""The decision in words, as Markdown: for the notebook and for a pull request."""

from typing import Any


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
