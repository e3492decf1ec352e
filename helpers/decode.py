"""Open pictures that came from outside, and turn them into arrays."""

import warnings
from os import PathLike
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
MODES = {"rgb": "RGB", "grey": "L"}
CHANNELS = {"rgb": 3, "grey": 1}

# Pillow warns of pictures that are refused here, or are harmless. `catch_warnings` is not safe in threads.
warnings.filterwarnings("ignore", module="PIL")

# Errors of Pillow and its decoders on files that are broken, truncated, huge or no pictures at all.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, UnidentifiedImageError, Image.DecompressionBombError)


def open_image(file: str | PathLike[str] | BinaryIO) -> Image.Image:
    """Open a picture without decoding its pixels; one that is none of `FORMATS`, or too large, raises `UNREADABLE`."""
    image = Image.open(file, formats=FORMATS)
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise Image.DecompressionBombError(f"it has {image.width} x {image.height} pixels, which is too many")
    return image


def read_upright(file: str | PathLike[str] | BinaryIO, size: int) -> Image.Image:
    """Decode a picture upright, at least `size` pixels wide unless it is smaller, or raise one of `UNREADABLE`.

    Transparent parts become white: the pixels behind them are arbitrary, and often black like the drawing itself.
    """
    with open_image(file) as image:
        # JPEG decoders scale down at no cost; twice the size leaves enough for a smooth resize.
        image.draft(None, (2 * size, 2 * size))
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # Pillow would clip it to 0..255
        greys = np.array(upright)
        greys[greys == upright.info.get("transparency")] = 65535
        return Image.fromarray((greys >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        cutout = upright.convert("RGBA")
        upright = Image.new("RGB", cutout.size, "white")
        upright.paste(cutout, mask=cutout)
    return upright


def to_pixels(image: Image.Image, size: int, colour: str) -> np.ndarray:
    """Turn a picture into the classifier's square: uint8 [size, size, 3 or 1], for `colour` rgb or grey."""
    square = image.convert(MODES[colour]).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(square, dtype=np.uint8).reshape(size, size, -1)


def read_pixels(file: str | PathLike[str] | BinaryIO, size: int, colour: str) -> np.ndarray:
    """Decode a picture file with `read_upright`, then `to_pixels`."""
    return to_pixels(read_upright(file, size), size, colour)
