"""Decoded pictures with their perceptual hashes, through a cache on disk."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.decode import read_upright
from helpers.pipeline.cache import RecordCache
from helpers.pipeline.input import Input
from helpers.pipeline.paths import PIXELS

HASH_SIZE = 16  # 256 bits; with 64, one in six near pairs of rendered planets had different labels
HASH_BYTES = HASH_SIZE**2 // 8


def perceptual_hash(image: Image.Image) -> np.ndarray:
    """Return the 256-bit pHash of a picture, packed into uint8 [32]: which of its long waves are above their median."""
    from scipy.fft import dctn  # takes a sixth of a second, and only new pictures need it

    small = image.convert("L").resize((4 * HASH_SIZE, 4 * HASH_SIZE), Image.Resampling.LANCZOS)
    waves = dctn(np.asarray(small))[:HASH_SIZE, :HASH_SIZE]
    return np.packbits(waves > np.median(waves))


def picture_cache(root: Path, seen: Input) -> RecordCache:
    """The pictures of the workspace at `root` as a network with this input sees them; notes are perceptual hashes."""

    def decode(content: BytesIO) -> tuple[np.ndarray, np.ndarray]:
        image = read_upright(content, seen.image_size)
        return seen.to_pixels(image), perceptual_hash(image)

    settings = f"{seen.image_size}-{seen.colour}-{seen.fit}"
    return RecordCache(root / PIXELS, settings, seen, decode, np.dtype((np.uint8, seen.shape)), HASH_BYTES)
