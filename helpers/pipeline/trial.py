"""Train a model for a trial: nothing of it is kept."""

from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.pipeline.model import Classifier
from helpers.pipeline.params import TrainParams
from helpers.pipeline.paths import RAW


def train_and_predict(
    root: Path, index: pd.DataFrame, like: Classifier, images: pd.DataFrame, params: TrainParams
) -> np.ndarray:
    """Train a model like another one, without a line for each epoch, and predict the classes of the `images`."""
    # PyTorch takes two seconds, and only this needs it here.
    from helpers.pipeline.dataset import read_dataset
    from helpers.pipeline.train import train

    with redirect_stdout(None):
        dataset = read_dataset(root, index, like.description.input, like.backbone, params)
        classifier, _ = train(dataset, index, like.description)
    return classifier.predict(root, root / RAW, images).idxmax(axis=1).to_numpy()
