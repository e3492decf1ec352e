"""Decoded pictures on disk, by content: a cache that may be deleted at any time, and is never pushed."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import PIL
from filelock import FileLock

from helpers import decode
from helpers.pipeline.near_duplicates import HASH_BYTES, perceptual_hash
from helpers.pipeline.paths import PIXELS
from helpers.problems import Problem
from helpers.progress import progress_bar

LARGEST = 10 * 2**30  # bytes of pixels that are kept for each pair of settings
CHUNK = 2**26  # bytes of pixels that are decoded before they are written
KEY = np.dtype([("sha256", "V32"), ("hash", np.uint8, HASH_BYTES)])


@dataclass(frozen=True, eq=False)
class Pixels:
    """Decoded pictures that are read from disk when they are asked for.

    ``pixels[rows]``, with a slice or row numbers, gives uint8 [rows, size, size, channels].
    """

    file: BinaryIO
    shape: tuple[int, ...]  # of all pictures in the file
    places: np.ndarray  # of these N pictures in the file
    hashes: np.ndarray  # their perceptual hashes, uint8 [N, 32]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        # Map the file anew each time: pages that were read once do not add up in memory.
        return np.memmap(self.file, np.uint8, "r", shape=self.shape)[self.places[rows]]


class PixelCache:
    """The pictures of a workspace, decoded with one pair of settings.

    The file ``pixels`` holds one picture after the other; the file ``keys`` holds, in the same order, the SHA-256 of
    each picture's file and its perceptual hash. Both only grow. A key is written after its pixels have reached the
    disk, so pixels that a killed program left without a key are overwritten. When the pictures would take more than
    `LARGEST` bytes, the cache starts again, empty, unless half of it is in use.
    """

    def __init__(self, root: Path, size: int, colour: str) -> None:
        self._size, self._colour = size, colour
        self._shape = size, size, decode.CHANNELS[colour]
        self._bytes = int(np.prod(self._shape))
        # Other code decodes other pixels.
        code = hashlib.sha256(Path(decode.__file__).read_bytes() + PIL.__version__.encode()).hexdigest()[:12]
        folder = root / PIXELS / f"{size}-{colour}-{code}"
        if not folder.exists():
            for outdated in folder.parent.glob(f"{size}-{colour}-*"):
                shutil.rmtree(outdated, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        self._pixels, self._keys, self._lock = folder / "pixels", folder / "keys", FileLock(folder / "lock")

    def fill(self, folder: Path, files: Mapping[str, str]) -> dict[str, str]:
        """Decode the pictures that are missing, and return the reason for each file that cannot be decoded.

        `files` has a picture's file, relative to `folder`, by the SHA-256 of its content.
        """
        problems: dict[str, str] = {}

        def decode_one(sha256: str) -> tuple[bytes, np.ndarray, np.ndarray] | None:
            try:
                content = (folder / files[sha256]).read_bytes()
                if not content:
                    raise ValueError("an empty file")
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise ValueError("it was changed meanwhile")
                image = decode.read_upright(BytesIO(content), self._size)
                pixels = decode.to_pixels(image, self._size, self._colour)
            except decode.UNREADABLE as error:
                problems[files[sha256]] = str(error)
                return None
            return bytes.fromhex(sha256), perceptual_hash(image), pixels

        # The disk writes one part while the next one is decoded.
        with self._lock, ThreadPoolExecutor(1) as disk, ThreadPoolExecutor() as pool:
            written = disk.submit(self._append, [])  # both files are there, also without pictures
            written.result()
            missing = self._list_missing(list(files))
            step = max(1, CHUNK // self._bytes)
            with progress_bar(len(missing), "Decoding images") as bar:
                for start in range(0, len(missing), step):
                    decoded = []
                    for one in pool.map(decode_one, missing[start : start + step]):
                        bar.update()
                        if one:
                            decoded.append(one)
                    written.result()
                    written = disk.submit(self._append, decoded)
            written.result()
        return problems

    def read(self, sha256: Iterable[str]) -> Pixels:
        """Open pictures that `fill` has decoded, in the order of the SHA-256 of their files."""
        keys = self._read_keys()
        place = {key: number for number, key in enumerate(keys["sha256"].tolist())}
        places = np.array([place[bytes.fromhex(one)] for one in sha256], dtype=np.int64)
        return Pixels(self._pixels.open("rb"), (len(keys), *self._shape), places, keys["hash"][places])

    def _read_keys(self) -> np.ndarray:
        """The keys of all pictures that are whole."""
        if not (self._keys.exists() and self._pixels.exists()):
            return np.empty(0, KEY)
        return np.fromfile(self._keys, KEY, count=self._pixels.stat().st_size // self._bytes)

    def _list_missing(self, wanted: list[str]) -> list[str]:
        """List the pictures to decode: those that are not there, or all if the cache has to start again."""
        known = {key.hex() for key in self._read_keys()["sha256"].tolist()}
        missing = [sha256 for sha256 in wanted if sha256 not in known]
        if (len(known) + len(missing)) * self._bytes > max(LARGEST, 2 * len(wanted) * self._bytes):
            self._keys.unlink()
            self._pixels.unlink()
            return wanted
        return missing

    def _append(self, decoded: list[tuple[bytes, np.ndarray, np.ndarray]]) -> None:
        """Write pictures behind those that are whole: key, perceptual hash and pixels of each."""
        whole = len(self._read_keys())
        keys = np.array([(sha256, perceptual) for sha256, perceptual, _ in decoded], KEY)
        pixels = np.array([one for *_, one in decoded], np.uint8)
        for path, size, new in ((self._pixels, self._bytes, pixels), (self._keys, KEY.itemsize, keys)):
            with path.open("ab") as file:
                file.truncate(whole * size)
                file.write(new.tobytes())
                file.flush()
                os.fsync(file.fileno())


def read_pictures(root: Path, folder: Path, images: pd.DataFrame, size: int, colour: str) -> Pixels:
    """Read pictures below a folder through the cache of the workspace at `root`.

    `images` has the columns `file` and `sha256`. A `Problem` names all files that cannot be decoded.
    """
    cache = PixelCache(root, size, colour)
    broken = cache.fill(folder, dict(zip(images["sha256"], images["file"], strict=True)))
    if broken:
        details = sorted(f"{folder}/{file}: {reason}" for file, reason in broken.items())
        raise Problem(f"{len(broken)} files in {folder} are not pictures.", details, "Replace or remove them.")
    return cache.read(images["sha256"])
