"""Stage ``prepare``: data/raw/<label>/… → data/prepared: index.csv and near_duplicates.csv."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.files import class_of, read_training_set
from helpers.pipeline.input import Input
from helpers.pipeline.near_duplicates import pair_near_duplicates
from helpers.pipeline.params import PrepareParams, read_params
from helpers.pipeline.paths import HASHES, INDEX, NEAR_DUPLICATES, RAW
from helpers.pipeline.pixels import picture_cache
from helpers.pipeline.stage import run_stage
from helpers.problems import Problem


def is_held_out(sha256: str, seed: int, fraction: float) -> bool:
    """Decide from an image's content alone whether it is kept from training; another seed decides independently.

    Neither its name, its label nor other images matter: an image that is held out stays held out as the data grows.
    """
    return int.from_bytes(hashlib.sha256(f"{sha256}:{seed}".encode()).digest()[:8]) < fraction * 2**64


def main() -> None:
    """Decode the images that are new, report all files that cannot be decoded, and write the index of all."""
    params = read_params(PrepareParams)
    images = read_training_set(Path(RAW), Path(HASHES))
    held_out = [is_held_out(sha256, params.seed, params.validation_fraction) for sha256 in images.values()]
    index = pd.DataFrame(
        {
            "file": list(images),
            "label": list(map(class_of, images)),
            "split": np.where(held_out, "held-out", "train"),
            "sha256": list(images.values()),
        }
    )
    pictures = picture_cache(Path(), Input(params.image_size, params.colour)).read(Path(RAW), index)
    classes, kept = index["label"].nunique(), sum(held_out)
    if classes < 2 or kept in (0, len(index)):
        raise Problem(
            f"{RAW} holds {len(index)} images of {classes} classes, {kept} of them held out.",
            advice=f"Training needs images of two classes or more in {RAW}/<label>/, on both sides of the split.",
        )

    Path(INDEX).parent.mkdir(parents=True, exist_ok=True)
    index.to_csv(INDEX, index=False)
    pair_near_duplicates(index, pictures.notes).to_csv(NEAR_DUPLICATES, index=False)
    print(f"{len(index):,} images of {classes} classes: {len(index) - kept:,} to train, {kept:,} held out")


if __name__ == "__main__":
    run_stage("prepare", main)
