"""Stage ``prepare``: data/raw/<label>/… → data/prepared: images.npy, index.csv and near_duplicates.csv."""

import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.contrib.concurrent import thread_map  # type: ignore[import-untyped]

from helpers.decode import UNREADABLE, read_upright, to_pixels
from helpers.pipeline.near_duplicates import HASH_SIZE, near_duplicates, perceptual_hash
from helpers.pipeline.params import PrepareParams, read_params
from helpers.pipeline.paths import INDEX, NEAR_DUPLICATES, PIXELS, RAW
from helpers.problems import Problem, exit_on_problem


def is_held_out(sha256: str, seed: int, fraction: float) -> bool:
    """Decide from an image's content alone whether it is kept from training; another seed decides independently.

    Neither its name, its label nor other images matter: an image that is held out stays held out as the data grows.
    """
    return int.from_bytes(hashlib.sha256(f"{sha256}:{seed}".encode()).digest()[:8]) < fraction * 2**64


def main() -> None:
    """Decode every image once, report all files that cannot be decoded, and write the pixels and their index."""
    params = read_params(PrepareParams)
    files = sorted(path for path in Path(RAW).glob("*/**/*") if path.is_file() and not path.name.startswith("."))

    # Decode: the threads write into rows of these arrays.
    size, channels = params.image_size, 3 if params.colour == "rgb" else 1
    pixels = np.empty((len(files), size, size, channels), np.uint8)
    hashes = np.empty((len(files), HASH_SIZE**2 // 8), np.uint8)
    broken = []

    def decode(number: int, path: Path) -> str:
        data = path.read_bytes()
        try:
            image = read_upright(BytesIO(data), size)
            pixels[number] = to_pixels(image, size, params.colour)
            hashes[number] = perceptual_hash(image)
        except UNREADABLE as error:
            broken.append(f"{path}: {error if data else 'an empty file'}")
        return hashlib.sha256(data).hexdigest()

    digests = thread_map(decode, range(len(files)), files, desc="Decoding", unit=" images", disable=None)
    if broken:
        raise Problem(f"{len(broken)} files in {RAW} are not pictures.", sorted(broken), "Replace or remove them.")

    # Index and split: a row per picture.
    places = [path.relative_to(RAW) for path in files]
    held_out = [is_held_out(sha256, params.seed, params.validation_fraction) for sha256 in digests]
    index = pd.DataFrame(
        {
            "file": [place.as_posix() for place in places],
            "label": [place.parts[0] for place in places],
            "split": np.where(held_out, "held-out", "train"),
            "sha256": digests,
        }
    )
    classes, kept = index["label"].nunique(), sum(held_out)
    if classes < 2 or kept in (0, len(index)):
        raise Problem(
            f"{RAW} holds {len(index)} images of {classes} classes, {kept} of them held out.",
            advice=f"Training needs images of two classes or more in {RAW}/<label>/, on both sides of the split.",
        )

    # Write.
    near = near_duplicates(index, hashes)
    Path(PIXELS).parent.mkdir(parents=True, exist_ok=True)
    np.save(PIXELS, pixels)
    index.to_csv(INDEX, index=False)
    near.to_csv(NEAR_DUPLICATES, index=False)
    print(f"{len(index):,} images of {classes} classes: {len(index) - kept:,} to train, {kept:,} held out")


if __name__ == "__main__":
    exit_on_problem(main)
