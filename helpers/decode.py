"""Open pictures that came from outside, and turn them into arrays."""

import warnings
from os import PathLike
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
MODES = {"rgb": "RGB", "grey": "L"}

# What Pillow merely warns of is refused, or no matter. `catch_warnings` around each picture is not for threads.
warnings.filterwarnings("ignore", module="PIL")

# What Pillow and its decoders raise on files that are broken, truncated, huge or no pictures at all.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, UnidentifiedImageError, Image.DecompressionBombError)


def open_image(file: str | PathLike[str] | BinaryIO) -> Image.Image:
    """Open a picture without decoding its pixels.

    Only the formats in `FORMATS` are tried, and a picture of more than Pillow's ``MAX_IMAGE_PIXELS`` is refused.

    Raises
    ------
    OSError, ValueError, DecompressionBombError
        All of them in `UNREADABLE`: the file is no picture, or one that is not safe to decode.
    """
    image = Image.open(file, formats=FORMATS)
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise Image.DecompressionBombError(f"it has {image.width} x {image.height} pixels, which is too many")
    return image


def read_upright(file: str | PathLike[str] | BinaryIO, size: int) -> Image.Image:
    """Decode a picture that will be looked at with `size` pixels of width: upright, and not smaller than that.

    What is transparent shows white, as on a page. The pixels behind it mean nothing: in many files they are all black,
    as the drawing is.

    Raises
    ------
    OSError, ValueError, DecompressionBombError
        All of them in `UNREADABLE`.
    """
    with open_image(file) as image:
        # JPEG decoders scale down for nothing; twice the size leaves enough for a smooth resize.
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
    """Turn a picture into what the classifier sees: a square, grey or colour.

    Parameters
    ----------
    image : Image
        From `read_upright`.
    size : int
        Width and height of the result in pixels.
    colour : {'rgb', 'grey'}
        Three channels or one.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3 or 1)
    """
    square = image.convert(MODES[colour]).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(square, dtype=np.uint8).reshape(size, size, -1)


def read_pixels(file: str | PathLike[str] | BinaryIO, size: int, colour: str) -> np.ndarray:
    """Decode a picture the way the classifier sees it: `read_upright`, then `to_pixels`."""
    return to_pixels(read_upright(file, size), size, colour)
