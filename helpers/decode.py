"""Open pictures that came from outside."""

import warnings
from os import PathLike
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})

# Pillow warns of pictures that are refused here, or are harmless. `catch_warnings` is not safe in threads.
warnings.filterwarnings("ignore", module="PIL")

# Errors of Pillow and its decoders on files that are broken, truncated, huge or no pictures at all.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


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
