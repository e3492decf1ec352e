"""Stage ``prepare``: data/raw/<label>/… → data/prepared: index.csv and near_duplicates.csv."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.decode import Input
from helpers.hashing import hash_all, hash_file
from helpers.pipeline.near_duplicates import near_duplicates
from helpers.pipeline.params import PrepareParams, read_params
from helpers.pipeline.paths import HASHES, INDEX, NEAR_DUPLICATES, RAW
from helpers.pipeline.pixels import picture_cache
from helpers.problems import Problem, exit_on_problem


def is_held_out(sha256: str, seed: int, fraction: float) -> bool:
    """Decide from an image's content alone whether it is kept from training; another seed decides independently.

    Neither its name, its label nor other images matter: an image that is held out stays held out as the data grows.
    """
    return int.from_bytes(hashlib.sha256(f"{sha256}:{seed}".encode()).digest()[:8]) < fraction * 2**64


def main() -> None:
    """Decode the images that are new, report all files that cannot be decoded, and write the index of all."""
    params = read_params(PrepareParams)
    files = sorted(path for path in Path(RAW).glob("*/**/*") if path.is_file())
    places = [path.relative_to(RAW) for path in files]
    places = [place for place in places if not any(part.startswith(".") for part in place.parts)]
    hashes = hash_all((f"{RAW}/{place}" for place in places), hash_file, Path(HASHES), "Hashing")
    sha256 = [one for one, _ in hashes.values()]
    held_out = [is_held_out(one, params.seed, params.validation_fraction) for one in sha256]
    index = pd.DataFrame(
        {
            "file": [place.as_posix() for place in places],
            "label": [place.parts[0] for place in places],
            "split": np.where(held_out, "held-out", "train"),
            "sha256": sha256,
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
    near_duplicates(index, pictures.notes).to_csv(NEAR_DUPLICATES, index=False)
    print(f"{len(index):,} images of {classes} classes: {len(index) - kept:,} to train, {kept:,} held out")


if __name__ == "__main__":
    exit_on_problem(main)
