"""Train the model of a round, and say how it came to be."""

from collections.abc import Collection
from importlib import import_module
from threading import Thread
from typing import Protocol

from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce


class Listener(Protocol):
    """An extra that follows the stages while they run."""

    def tell(self, line: str) -> bool:
        """Take a line that DVC or a stage prints; return True if the line is shown in another way."""

    def end(self, finished: bool) -> None:
        """Take note that the stages have ended: `finished`, or stopped by an error or by somebody."""


def retrain(workspace: Workspace, listeners: Collection[Listener] = ()) -> str:
    """Run the stages whose inputs changed, and return the state of the model; see `reproduce`.

    Each line that DVC and the stages print is printed here unless one of the listeners shows it.
    """

    def pass_on(line: str) -> None:
        shown = [listener.tell(line) for listener in listeners]
        if not any(shown):
            print(line)

    # While DVC works, this process has time to import what the comparison needs.
    Thread(target=import_module, args=("scipy.stats",)).start()
    finished = False
    try:
        became = reproduce(workspace, pass_on)
        finished = True
        return became
    finally:
        for listener in listeners:
            listener.end(finished)


def describe_training(became: str) -> str:
    """Put the result of `retrain` into a sentence."""
    return {
        "trained": "A new model was trained.",
        "restored": "The model comes from DVC's cache: it was trained on these images with these settings before.",
        "unchanged": "Nothing changed since the last training: nothing to train.",
    }[became]
