"""Decoded pictures with their perceptual hashes, through a cache on disk."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.decode import Input, read_upright
from helpers.pipeline.near_duplicates import HASH_BYTES, perceptual_hash
from helpers.pipeline.paths import PIXELS
from helpers.pipeline.records import RecordCache, Records
from helpers.problems import Problem


class PixelCache(RecordCache):
    """The pictures of the workspace at `root` as a network with this input sees them; notes are perceptual hashes."""

    def __init__(self, root: Path, seen: Input) -> None:
        self._seen = seen
        settings = f"{seen.image_size}-{seen.colour}-{seen.fit}"
        super().__init__(root / PIXELS, settings, "uint8", seen.shape, note=HASH_BYTES)

    def decode(self, folder: Path, images: pd.DataFrame) -> dict[str, str]:
        """Decode the pictures that are missing, and return the reason for each file that cannot be decoded."""

        def read(content: BytesIO) -> tuple[np.ndarray, np.ndarray]:
            image = read_upright(content, self._seen.image_size)
            return perceptual_hash(image), self._seen.to_pixels(image)

        return self.fill(folder, images, read, math.prod(self._seen.shape))


def read_pictures(root: Path, folder: Path, images: pd.DataFrame, seen: Input) -> Records:
    """Read pictures below a folder, uint8 [N, H, W, C], with their perceptual hashes as notes, uint8 [N, 32].

    They are decoded once, for the cache of the workspace at `root`. `images` has the columns `file` and `sha256`. A
    `Problem` names all files that cannot be decoded.
    """
    cache = PixelCache(root, seen)
    stop_on_broken(folder, cache.decode(folder, images))
    return cache.read(images["sha256"])


def stop_on_broken(folder: Path, broken: dict[str, str]) -> None:
    """Raise a `Problem` if there are files that cannot be decoded, given with their reasons."""
    if broken:
        details = sorted(f"{folder}/{file}: {reason}" for file, reason in broken.items())
        raise Problem(f"{len(broken)} files in {folder} are not pictures.", details, "Replace or remove them.")
