"""Pictures come in every shape; the classifier sees one."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.decode import UNREADABLE
from helpers.pipeline.input import Input


def encoded(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize(("colour", "channels"), [("rgb", 3), ("grey", 1)])
def test_every_format_becomes_a_square_of_its_colours(kind, colour, channels):
    pixels = Input(16, colour).read(encoded(Image.new("RGB", (70, 40), (200, 100, 50)), kind))
    assert pixels.shape == (16, 16, channels)
    assert pixels.dtype == np.uint8
    expected = [200, 100, 50] if colour == "rgb" else [124]
    assert np.abs(pixels.reshape(-1, channels).mean(axis=0) - expected).max() < 6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "F"])
def test_every_colour_mode_is_read(mode):
    source = Image.new("L", (20, 20), 255).convert(mode)
    file = encoded(source, "TIFF" if mode in {"CMYK", "F"} else "PNG")
    assert Input(8, "rgb").read(file).mean() == 255


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("LA", "PNG"), ("LA", "TIFF"), ("PA", "TIFF"), ("RGBA", "PNG"), ("RGBA", "TIFF"), ("RGBA", "WEBP")],
)
def test_transparent_parts_show_white_and_half_transparent_ones_shine_through(mode, kind):
    source = Image.new("L", (30, 10), 0).convert(mode.replace("A", ""))
    alpha = Image.new("L", (30, 10), 0)
    alpha.paste(128, (10, 0, 20, 10))
    alpha.paste(255, (20, 0, 30, 10))
    source.putalpha(alpha)
    assert source.mode == mode
    pixels = Input(30, "grey").read(encoded(source, kind, lossless=True))[..., 0]
    assert [set(pixels[:, column].tolist()) for column in (0, 15, 29)] == [{255}, {127}, {0}]


@pytest.mark.parametrize(
    ("mode", "kind", "black"),
    [
        ("1", "PNG", 0),
        ("L", "PNG", 0),
        ("I;16", "PNG", 0),
        ("RGB", "PNG", (0, 0, 0)),
        ("P", "PNG", 0),
        ("P", "PNG", b"\0"),
        ("P", "GIF", 0),
    ],
)
def test_the_one_colour_that_stands_for_transparent_shows_white(mode, kind, black):
    light = 255 if mode == "1" else 102
    source = Image.new("L", (20, 20), 0)
    source.paste(light, (10, 0, 20, 20))
    if mode == "I;16":
        source = Image.fromarray(np.asarray(source).astype(np.uint16) << 8)
    pixels = Input(20, "grey").read(encoded(source.convert(mode), kind, transparency=black))[..., 0]
    assert (pixels[:, :10] == 255).all()
    assert (pixels[:, 10:] == light).all()


@pytest.mark.parametrize(("width", "height"), [(60, 20), (20, 60), (6, 2), (400, 1)])
def test_a_padded_picture_keeps_its_aspect_ratio_between_white(width, height):
    pixels = Input(24, "grey", "pad").read(encoded(Image.new("L", (width, height), 0), "PNG"))[..., 0]
    assert pixels.shape == (24, 24)
    longer, shorter = max(width, height), min(width, height)
    rows = max(1, round(24 * shorter / longer))
    black = np.zeros((rows, 24)) if width > height else np.zeros((24, rows))
    found = np.argwhere(pixels == 0)
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0) + 1
    assert (bottom - top, right - left) == black.shape
    assert abs((24 - bottom) - top) <= 1
    assert abs((24 - right) - left) <= 1
    assert (pixels == 255).sum() == 24 * 24 - black.size


def test_sixteen_bit_pictures_keep_their_greys():
    ramp = Image.fromarray(np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8))
    pixels = Input(8, "grey").read(encoded(ramp, "PNG"))
    assert pixels.min() < 10
    assert pixels.max() > 245
    assert 110 < pixels.mean() < 145


def test_photographs_are_turned_upright():
    sideways = Image.new("RGB", (40, 40))
    sideways.paste((255, 255, 255), (0, 0, 20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: its left side belongs on top
    pixels = Input(8, "grey").read(encoded(sideways, "JPEG", exif=exif.tobytes()))[..., 0]
    assert pixels[:3].mean() > 240
    assert pixels[-3:].mean() < 15


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4", b"<svg/>"])
def test_other_files_are_refused(data):
    with pytest.raises(UNREADABLE):
        Input(8, "rgb").read(io.BytesIO(data))


def test_a_picture_cut_short_is_refused():
    whole = encoded(Image.effect_noise((64, 64), 50), "JPEG").getvalue()
    with pytest.raises(UNREADABLE):
        Input(8, "rgb").read(io.BytesIO(whole[: len(whole) // 2]))


def test_a_decompression_bomb_is_refused():
    bomb = encoded(Image.new("1", (12_000, 12_000)), "PNG")
    assert len(bomb.getvalue()) < 100_000
    with pytest.raises(Image.DecompressionBombError):
        Input(8, "rgb").read(bomb)
