"""The files of the pipeline, relative to the workspace: the stages run in its root."""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PARAMS = "params.yaml"
RAW, SCENES = "data/raw", "data/scenes.csv"
INDEX, NEAR_DUPLICATES = "data/prepared/index.csv", "data/prepared/near_duplicates.csv"
HASHES, PIXELS, FEATURES = ".dvc/tmp/hashes.json", ".dvc/tmp/pixels", ".dvc/tmp/features"  # caches
BACKBONES = "backbones"
TRAINING_SECONDS = ".dvc/tmp/training_seconds"  # of the last training
MODEL = "model/classifier.bentomodel"
HISTORY, METRICS = "evaluation/history.csv", "evaluation/metrics.json"
PREDICTIONS, CLASSES = "evaluation/predictions.csv", "evaluation/classes.csv"


def read_table(file: bytes) -> "pd.DataFrame":
    """Read a CSV file in which every value is text: a label may be "1", "NA" or empty."""
    import pandas as pd  # takes a third of a second, and who only starts a training does without it

    return pd.read_csv(BytesIO(file), dtype=str, keep_default_na=False)
