"""Train the model of a round, and say how it came to be."""

from statistics import median

from helpers.decode import open_image
from helpers.figures.live import LiveCurve
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import INDEX, METRICS, PARAMS, read_table
from helpers.progress import is_watched
from helpers.round.past import read_history
from helpers.workspace import Workspace

LARGE, ENOUGH = 96, 0.9  # pixels, and the accuracy below which a backbone may do better


def retrain(workspace: Workspace, baseline: str) -> str:
    """Run the stages whose inputs changed, and return the state of the model; see `Workspace.reproduce`.

    Where a person watches, a curve over that of the model at `baseline` takes the place of a line for each epoch.
    """
    if not is_watched():
        return workspace.reproduce()
    history = read_history(workspace, baseline)
    curve = LiveCurve([] if history is None else history["held_out_accuracy"].tolist())
    try:
        return workspace.reproduce(curve.tell)
    finally:
        curve.end()


def describe_training(became: str) -> str:
    """Put the result of `retrain` into a sentence."""
    return {
        "trained": "A new model was trained.",
        "restored": "The model comes from DVC's cache: it was trained on these images with these settings before.",
        "unchanged": "Nothing changed since the last training: nothing to train.",
    }[became]


def advise_backbone(workspace: Workspace) -> str:
    """Return advice to use a backbone, where the small network fails on large pictures; empty elsewhere."""
    params = read_params(TrainParams, workspace.root / PARAMS)
    accuracy = float(workspace.load(METRICS)["accuracy"])
    if params.backbone != "none" or accuracy >= ENOUGH:
        return ""
    index = read_table((workspace.root / INDEX).read_bytes())
    sides = []
    for file in index.loc[index["split"] == "held-out", "file"].head(100):
        with open_image(workspace.raw / file) as image:
            sides.append(max(image.size))
    if median(sides) <= LARGE:
        return ""
    return (
        f"The small network gets {accuracy:.0%} of the held-out images right, which are larger than {LARGE} pixels. If "
        "they are photographs, a pretrained backbone sees more in them: `make backbone` writes one; then set "
        "`train.backbone` in params.yaml. It costs some 5 ms for each new image, once, and 13 MB in each model's file."
    )
