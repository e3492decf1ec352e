"""Decoded pictures with their perceptual hashes, through a cache on disk."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.decode import Input, read_upright
from helpers.pipeline.cache import RecordCache
from helpers.pipeline.paths import PIXELS

HASH_SIZE = 16  # 256 bits; with 64, one in six near pairs of rendered planets had different labels
HASH_BYTES = HASH_SIZE**2 // 8


def perceptual_hash(image: Image.Image) -> np.ndarray:
    """Return the 256-bit pHash of a picture, packed into uint8 [32]."""
    import imagehash  # with scipy it takes half a second, and only new pictures need it

    return np.packbits(imagehash.phash(image, hash_size=HASH_SIZE).hash)


def picture_cache(root: Path, seen: Input) -> RecordCache:
    """The pictures of the workspace at `root` as a network with this input sees them; notes are perceptual hashes."""

    def decode(content: BytesIO) -> tuple[np.ndarray, np.ndarray]:
        image = read_upright(content, seen.image_size)
        return seen.to_pixels(image), perceptual_hash(image)

    settings = f"{seen.image_size}-{seen.colour}-{seen.fit}"
    return RecordCache(root / PIXELS, settings, seen, decode, np.dtype((np.uint8, seen.shape)), HASH_BYTES)
