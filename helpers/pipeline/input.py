"""The way in which a network sees pictures: their size, colours and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import BinaryIO

import numpy as np
from PIL import Image

from helpers.decode import read_upright

MODES = {"rgb": "RGB", "grey": "L"}
CHANNELS = {"rgb": 3, "grey": 1}
BATCH = 2**21  # bytes of pixels that are predicted at once


@dataclass(frozen=True)
class Input:
    """The square in which a network sees a picture."""

    image_size: int  # its width and height in pixels
    colour: str = "rgb"  # or grey: three channels or one
    fit: str = "stretch"  # or pad: the picture keeps its aspect ratio, with white beside it
    mean: float | Sequence[float] = 0.0  # the network sees (pixel - mean) / scale, with one value or one per channel
    scale: float | Sequence[float] = 255.0

    def __post_init__(self) -> None:
        size = isinstance(self.image_size, int) and 0 < self.image_size <= 4096
        if not (size and self.colour in CHANNELS and self.fit in ("stretch", "pad")):
            raise ValueError(f"not the input of a network: {self}")
        numbers = [np.broadcast_to(value, CHANNELS[self.colour]) for value in (self.mean, self.scale)]
        if not np.isfinite(numbers).all() or numbers[1].min() <= 0:
            raise ValueError(f"not the mean and scale of a network's input: {self}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.image_size, self.image_size, CHANNELS[self.colour]

    @property
    def batch(self) -> int:
        """The number of pictures that are predicted at once, so that memory is bounded."""
        return max(1, BATCH // int(np.prod(self.shape)))

    def read(self, file: str | PathLike[str] | BinaryIO) -> np.ndarray:
        """Decode a picture file with `read_upright`, then `to_pixels`."""
        return self.to_pixels(read_upright(file, self.image_size))

    def to_pixels(self, image: Image.Image) -> np.ndarray:
        """Turn a picture into uint8 of this `shape`."""
        side = width = height = self.image_size
        if self.fit == "pad":
            width, height = (max(1, round(pixels * side / max(image.size))) for pixels in image.size)
        square = Image.new(MODES[self.colour], (side, side), "white")
        resized = image.convert(square.mode).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        square.paste(resized, ((side - width) // 2, (side - height) // 2))
        return np.asarray(square, dtype=np.uint8).reshape(self.shape)

    def to_network(self, pixels: np.ndarray) -> np.ndarray:
        """Turn uint8 [N, H, W, C] into float32 [N, C, H, W]."""
        images = (pixels.astype(np.float32) - np.asarray(self.mean, np.float32)) / np.asarray(self.scale, np.float32)
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
