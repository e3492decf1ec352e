"""The cache of decoded pictures: always the pixels of the file, whatever happened to the cache."""

import os
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pictures import table_of
from PIL import Image

from helpers import decode
from helpers.pipeline import cache, pixels
from helpers.pipeline.input import Input
from helpers.pipeline.paths import PIXELS
from helpers.pipeline.pixels import picture_cache
from helpers.problems import Problem


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    """Twenty pictures in the folder `raw`."""
    return write_images(tmp_path / "raw", 20)


def write_images(folder: Path, number: int) -> pd.DataFrame:
    chance, files = np.random.default_rng(number), [f"{n}.png" for n in range(number)]
    folder.mkdir(exist_ok=True)
    for file in files:
        Image.fromarray(chance.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(folder / file)
    return table_of(folder, files)


def check(root: Path, images: pd.DataFrame, size: int = 16, colour: str = "rgb") -> None:
    """See that reading through the cache gives what decoding each file gives."""
    expected = np.stack([Input(size, colour).read(root / "raw" / file) for file in images["file"]])
    assert np.array_equal(picture_cache(root, Input(size, colour)).read(root / "raw", images)[:], expected)


def decoded(monkeypatch) -> list[BytesIO]:
    """Note each picture that the cache decodes from now on."""
    seen: list[BytesIO] = []
    original = decode.read_upright

    def read_upright(file, size):
        if isinstance(file, BytesIO):
            seen.append(file)
        return original(file, size)

    monkeypatch.setattr(pixels, "read_upright", read_upright)
    return seen


def files_of(root: Path) -> tuple[Path, Path]:
    (folder,) = (root / PIXELS).iterdir()
    return folder / "records", folder / "keys"


def test_each_content_is_decoded_once_and_only_what_is_new(images, tmp_path, monkeypatch):
    seen = decoded(monkeypatch)
    check(tmp_path, images[:15])
    assert len(seen) == 15
    (tmp_path / "raw/0.png").rename(tmp_path / "raw/another name.png")
    images.loc[0, "file"] = "another name.png"
    check(tmp_path, images[::-1])
    assert len(seen) == 20
    check(tmp_path, pd.concat([images, images]))
    assert len(seen) == 20


def test_rows_are_read_as_from_an_array(images, tmp_path):
    pictures = picture_cache(tmp_path, Input(16)).read(tmp_path / "raw", images)
    assert len(pictures) == 20
    assert np.array_equal(pictures[np.array([3, 1])], pictures[:][[3, 1]])
    assert pictures[:0].shape == (0, 16, 16, 3)
    assert len(picture_cache(tmp_path, Input(8, "grey")).read(tmp_path / "raw", images[:0])) == 0


def test_settings_do_not_mix(images, tmp_path):
    for size, colour in ((16, "rgb"), (16, "grey"), (24, "rgb")):
        check(tmp_path, images, size, colour)


def test_another_format_decodes_again(images, tmp_path, monkeypatch):
    check(tmp_path, images)
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    seen = decoded(monkeypatch)
    check(tmp_path, images)
    assert len(seen) == 20
    assert len(list((tmp_path / PIXELS).iterdir())) == 1  # the outdated pixels are gone


@pytest.mark.parametrize(
    ("part", "kept"),
    [(0, 0), (0, 1000), (0, 768 * 7 + 1), (1, 0), (1, 64 * 7 + 1), (1, 64 * 19 + 63)],
    ids=str,
)
def test_a_torn_entry_is_decoded_again(images, tmp_path, part, kept):
    check(tmp_path, images)
    os.truncate(files_of(tmp_path)[part], kept)
    check(tmp_path, images)


@pytest.mark.parametrize("part", [0, 1])
def test_a_file_of_the_cache_or_all_of_it_may_be_deleted(images, tmp_path, part):
    check(tmp_path, images)
    files_of(tmp_path)[part].unlink()
    check(tmp_path, images)
    shutil.rmtree(tmp_path / PIXELS)
    check(tmp_path, images)


def test_all_files_that_are_no_pictures_are_named_and_the_others_kept(images, tmp_path, monkeypatch):
    (tmp_path / "raw/3.png").write_bytes(b"")
    (tmp_path / "raw/5.png").write_text("no picture")
    images = table_of(tmp_path / "raw", images["file"])
    with pytest.raises(Problem) as caught:
        picture_cache(tmp_path, Input(16)).read(tmp_path / "raw", images)
    assert [any(name in line for line in caught.value.details) for name in ("3.png", "5.png", "7.png")] == [1, 1, 0]
    seen = decoded(monkeypatch)
    check(tmp_path, images.drop([3, 5]))
    assert not seen


def test_a_file_that_changes_or_goes_meanwhile_does_not_stand_for_another(images, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "raw/3.png")
    (tmp_path / "raw/4.png").unlink()
    problems = picture_cache(tmp_path, Input(16)).fill(tmp_path / "raw", images)
    assert sorted(problems) == ["3.png", "4.png"]


def test_the_cache_starts_again_when_it_grows_too_large(images, tmp_path, monkeypatch):
    check(tmp_path, images[:15])
    opened = picture_cache(tmp_path, Input(16)).read(tmp_path / "raw", images[:15])
    before = opened[:]
    monkeypatch.setattr(cache, "LARGEST", 10 * 768)
    check(tmp_path, images[15:])
    assert files_of(tmp_path)[0].stat().st_size == 5 * 768
    assert np.array_equal(opened[:], before)  # whoever reads it meanwhile is not disturbed
    check(tmp_path, images)  # all of them are needed: they may exceed it
    assert files_of(tmp_path)[0].stat().st_size == 20 * 768


FILL = """
import sys
from pathlib import Path
import pandas as pd
from helpers.pipeline.input import Input
from helpers.pipeline import cache, pixels
cache.CHUNK = 10 * 768
pixels.picture_cache(Path(), Input(16)).read(Path("raw"), pd.read_csv("images.csv"))
"""


def fill(root: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", FILL], cwd=root, env=environment)


def test_programs_side_by_side_fill_it_together(tmp_path):
    images = write_images(tmp_path / "raw", 300)
    images.to_csv(tmp_path / "images.csv", index=False)
    assert [process.wait() for process in [fill(tmp_path) for _ in range(3)]] == [0, 0, 0]
    check(tmp_path, images)
    assert files_of(tmp_path)[0].stat().st_size == 300 * 768


@pytest.mark.slow
def test_it_survives_kills(tmp_path):
    images = write_images(tmp_path / "raw", 2000)
    images.to_csv(tmp_path / "images.csv", index=False)
    sizes, chance = [], np.random.default_rng(0)
    for _ in range(20):
        process = fill(tmp_path)
        while not list((tmp_path / PIXELS).glob("*/lock")):
            time.sleep(0.01)
        time.sleep(chance.uniform(0.3, 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        keys = list((tmp_path / PIXELS).glob("*/keys"))
        sizes.append(keys[0].stat().st_size if keys else 0)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0
    check(tmp_path, images)
