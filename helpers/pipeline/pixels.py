"""Decoded pictures with their perceptual hashes, through a cache on disk."""

from io import BytesIO
from pathlib import Path

import numpy as np

from helpers.decode import Input, read_upright
from helpers.pipeline.cache import RecordCache
from helpers.pipeline.near_duplicates import HASH_BYTES, perceptual_hash
from helpers.pipeline.paths import PIXELS


def picture_cache(root: Path, seen: Input) -> RecordCache:
    """The pictures of the workspace at `root` as a network with this input sees them; notes are perceptual hashes."""

    def decode(content: BytesIO) -> tuple[np.ndarray, np.ndarray]:
        image = read_upright(content, seen.image_size)
        return seen.to_pixels(image), perceptual_hash(image)

    settings = f"{seen.image_size}-{seen.colour}-{seen.fit}"
    return RecordCache(root / PIXELS, settings, seen, decode, np.dtype((np.uint8, seen.shape)), HASH_BYTES)
