"""Stage ``prepare``: data/raw/<label>/… → data/prepared: images.npy, index.csv and near_duplicates.csv."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.decode import UNREADABLE, read_upright, to_pixels
from helpers.pipeline.near_duplicates import HASH_SIZE, near_duplicates, perceptual_hash
from helpers.pipeline.params import PrepareParams, read_params
from helpers.problems import Problem, exit_on_problem

RAW, PREPARED = Path("data/raw"), Path("data/prepared")


def is_held_out(sha256: str, seed: int, fraction: float) -> bool:
    """Decide from an image's content alone whether it is kept from training.

    Neither other images nor its name or label have a say: what is held out stays held out as the data grows.

    Parameters
    ----------
    sha256 : str
        Of the image file, hexadecimal.
    seed : int
        Another seed gives an independent choice.
    fraction : float
        Share of images to hold out, 0 to 1.
    """
    return int.from_bytes(hashlib.sha256(f"{sha256}:{seed}".encode()).digest()[:8]) < fraction * 2**64


def main() -> None:
    """Decode every image once, name all that cannot be decoded, and write the array and its index."""
    params = read_params(PrepareParams)
    files = sorted(path for path in RAW.glob("*/**/*") if path.is_file() and not path.name.startswith("."))
    images = np.empty((len(files), params.image_size, params.image_size, 3 if params.colour == "rgb" else 1), np.uint8)
    hashes = np.empty((len(files), HASH_SIZE**2 // 8), np.uint8)

    def read(item: tuple[int, Path]) -> tuple[str, str]:
        number, path = item
        data = path.read_bytes()
        try:
            image = read_upright(BytesIO(data), params.image_size)
            images[number] = to_pixels(image, params.image_size, params.colour)
            hashes[number] = perceptual_hash(image)
        except UNREADABLE as error:
            return "", f"{path}: {error if data else 'an empty file'}"
        return hashlib.sha256(data).hexdigest(), ""

    with ThreadPoolExecutor() as pool:
        read_files = list(pool.map(read, enumerate(files)))
    if broken := [problem for _, problem in read_files if problem]:
        raise Problem(f"{len(broken)} files in {RAW} are not pictures.", broken, "Replace or remove them.")

    index = pd.DataFrame(
        {
            "file": [path.relative_to(RAW).as_posix() for path in files],
            "label": [path.relative_to(RAW).parts[0] for path in files],
            "sha256": [sha256 for sha256, _ in read_files],
        }
    )
    held_out = [is_held_out(sha256, params.seed, params.validation_fraction) for sha256 in index["sha256"]]
    index.insert(2, "split", np.where(held_out, "held-out", "train"))
    splits, classes = index["split"].value_counts(), index["label"].nunique()
    if classes < 2 or len(splits) < 2:
        raise Problem(
            f"{RAW} holds {len(index)} images of {classes} classes, {splits.get('held-out', 0)} of them held out.",
            advice=f"Training needs images of two classes or more in {RAW}/<label>/, on both sides of the split.",
        )

    near = near_duplicates(index, hashes)
    PREPARED.mkdir(parents=True, exist_ok=True)
    np.save(PREPARED / "images.npy", images)
    index.to_csv(PREPARED / "index.csv", index=False)
    near.to_csv(PREPARED / "near_duplicates.csv", index=False)
    print(f"{len(index):,} images of {classes} classes: {splits['train']:,} to train, {splits['held-out']:,} held out")


if __name__ == "__main__":
    exit_on_problem(main)
