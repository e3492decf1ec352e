"""Train the model of a round, and say how it came to be."""

from collections.abc import Callable, Collection

from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce


def retrain(workspace: Workspace, tell: Collection[Callable[[str], bool]] = ()) -> str:
    """Run the stages whose inputs changed, and return the state of the model; see `reproduce`.

    Each of `tell` is called with every line that DVC and the stages print, and with an empty one at the end. A line is
    printed unless one of them returns True, because it shows the line in another way.
    """

    def pass_on(line: str) -> None:
        shown = [listener(line) for listener in tell]
        if not any(shown):
            print(line)

    try:
        return reproduce(workspace, pass_on)
    finally:
        for listener in tell:
            listener("")


def describe_training(became: str) -> str:
    """Put the result of `retrain` into a sentence."""
    return {
        "trained": "A new model was trained.",
        "restored": "The model comes from DVC's cache: it was trained on these images with these settings before.",
        "unchanged": "Nothing changed since the last training: nothing to train.",
    }[became]
