"""What the caches keep of a picture stays the same, or their `FORMAT` is raised: else they give the old values."""

import hashlib
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_backbones import tiny_graph

from helpers.decode import read_upright
from helpers.pipeline.backbone import Backbone
from helpers.pipeline.cache import FORMAT
from helpers.pipeline.input import Input
from helpers.pipeline.pixels import perceptual_hash

REMEDY = (
    "Pictures get other values than before: raise FORMAT in helpers/pipeline/cache.py, and record them under it here."
)
FITS = [Input(size, colour, fit) for size in (16, 61) for colour in ("rgb", "grey") for fit in ("stretch", "pad")]


def drawing() -> Image.Image:
    """A picture of 150 x 97 with edges and slopes, from whole numbers alone."""
    rows, columns, channels = np.ogrid[:97, :150, :3]
    return Image.fromarray((((rows // 9 + columns // 7) % 4) * 60 + (rows + columns * channels) % 70).astype(np.uint8))


def saved(kind: str) -> io.BytesIO:
    image = drawing()
    options: dict[str, Any] = {}
    if kind == "transparent PNG":
        image.putalpha(image.getchannel(1))
    elif kind == "deep PNG":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif kind == "turned PNG":
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation
        options["exif"] = exif
    elif kind == "GIF":
        image = Image.fromarray(np.asarray(image.convert("L")) // 4, "P")
        image.putpalette([level * number % 256 for level in range(64) for number in (4, 7, 11)])
    elif kind == "WEBP":
        options["lossless"] = True
    elif kind == "JPEG":
        options["quality"] = 95
    file = io.BytesIO()
    image.save(file, kind.split()[-1], **options)
    return file


def digest(kind: str) -> str:
    file = saved(kind)
    return hashlib.sha256(b"".join(seen.read(file).tobytes() for seen in FITS)).hexdigest()[:16]


# By number of the format; an entry is never changed, since somebody's cache has such values.
PIXELS = {
    1: {
        "PNG": "fa820641f120e4b4",
        "BMP": "fa820641f120e4b4",
        "TIFF": "fa820641f120e4b4",
        "WEBP": "fa820641f120e4b4",
        "GIF": "263f22215cbb44d7",
        "transparent PNG": "5f6f86bcb03b8a63",
        "deep PNG": "9d8e190e29fe105c",
        "turned PNG": "dd87134f366d5541",
    },
}
JPEG = {1: [119, 118, 121, 115, 128, 124, 128, 125, 123, 130, 124, 130, 123, 119, 124, 119]}
HASHES = {1: "d54a501a550a055fdd4a001faab5ffe008b287e400107fcfffff054affff004a"}
FEATURES = {1: [0.3624, 0.3652, 0.4192, 0.4102, 0.4882, 0.4911, 0.5012, 0.4915, 0.5698, 0.5731, 0.5806, 0.5702]}


@pytest.mark.parametrize("kind", PIXELS[1])
def test_pixels_are_as_they_were_in_every_size_colour_and_fit(kind):
    assert digest(kind) == PIXELS[FORMAT][kind], REMEDY


def test_pixels_of_a_jpeg_are_as_they_were():
    """But for a rounding: its decoders differ."""
    pixels = Input(4, "grey").read(saved("JPEG")).ravel().astype(int)
    assert np.abs(pixels - JPEG[FORMAT]).max() <= 3, REMEDY


def test_perceptual_hashes_are_as_they_were():
    """To the bit: no wave of this picture is so near the median that rounding decides."""
    assert perceptual_hash(read_upright(saved("PNG"), 61)).tobytes().hex() == HASHES[FORMAT], REMEDY


def test_features_are_as_they_were():
    backbone = Backbone(tiny_graph(), Input(16, "rgb", "pad", [120.0, 110.0, 100.0], 128.0), "features")
    features = backbone.features(backbone.input.read(saved("PNG"))[None])[0]
    assert np.allclose(features, FEATURES[FORMAT], atol=1e-3), REMEDY
