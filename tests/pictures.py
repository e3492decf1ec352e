"""Tables of picture files, as the index of the training set has them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from helpers.hashing import sha256_of


def table_of(folder: Path, files: Sequence[str]) -> pd.DataFrame:
    """Files below a folder with the hash of their content, for `Classifier.predict` and the cache of pixels."""
    return pd.DataFrame({"file": list(files), "sha256": [sha256_of(folder / file) for file in files]})
