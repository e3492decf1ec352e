"""A cache on disk of arrays for pictures, by their content; it may be deleted at any time, and is never pushed."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterable
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
from helpers.pipeline.input import Input
from helpers.problems import Problem
from helpers.progress import progress_bar

# Raise it when the code gives a picture other pixels, another perceptual hash or other features than before: else the
# old ones would be read. tests/pipeline/test_format.py fails where that was forgotten.
FORMAT = 1
LARGEST = 10 * 2**30  # bytes of records that are kept for each of the settings
CHUNK = 2**26  # bytes of pixels that are read before their records are computed and written

Picture = tuple[bytes, np.ndarray, np.ndarray]  # the SHA-256 of its file, its pixels and its note


def version_of_pixels() -> str:
    """A version that changes when a picture may get other pixels, another perceptual hash or other features."""
    return f"{FORMAT}-{PIL.__version__}"


@dataclass(frozen=True, eq=False)
class Records:
    """Arrays that are read from disk when they are asked for: ``records[rows]``, with a slice or row numbers."""

    file: BinaryIO
    record: np.dtype
    stored: int  # the number of all records in the file
    places: np.ndarray  # of these N records in the file
    notes: np.ndarray  # uint8 [N, bytes]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        # Map the file again each time: pages that were read once do not add up in memory.
        return np.memmap(self.file, self.record, "r", shape=(self.stored,))[self.places[rows]]


class RecordCache:
    """A record, and a short note, for each picture of a workspace.

    The file ``records`` holds one record after the other; the file ``keys`` holds, in the same order, the SHA-256 of
    each picture's file and its note. Both only grow. A key is written after its record has reached the disk, so records
    that a killed program left without a key are overwritten. When the records would take more than `LARGEST` bytes, the
    cache starts again, empty, unless half of it is in use.
    """

    def __init__(
        self,
        parent: Path,
        settings: str,
        seen: Input,
        decode_one: Callable[[BytesIO], tuple[np.ndarray, np.ndarray]],
        record: np.dtype,
        note: int = 0,
        compute: Callable[[np.ndarray], np.ndarray] = np.asarray,
    ) -> None:
        """Open the cache for some `settings`, each of which has a folder in `parent`.

        `decode_one` turns the content of a file into pixels of the shape of `seen` and a note, uint8 of `note` bytes,
        or raises one of `decode.UNREADABLE`. It runs in threads. `compute` turns the pixels of several pictures,
        stacked, into their records, each of the type `record`.
        """
        self._decode_one, self._compute = decode_one, compute
        self._together = max(1, CHUNK // math.prod(seen.shape))
        self._record, self._key = record, np.dtype([("sha256", "V32"), ("note", np.uint8, (note,))])
        folder = parent / f"{settings}-{version_of_pixels()}"
        if not folder.exists():
            for outdated in parent.glob(f"{settings}-*"):
                shutil.rmtree(outdated, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        self._records, self._keys, self._lock = folder / "records", folder / "keys", FileLock(folder / "lock")

    def read(self, folder: Path, images: pd.DataFrame) -> Records:
        """Open the records of pictures, and make those that are missing first.

        `images` has for each picture its `file`, below the folder, and the `sha256` of its content. A `Problem` names
        all files that cannot be decoded.
        """
        if broken := self.fill(folder, images):
            details = sorted(f"{folder}/{file}: {reason}" for file, reason in broken.items())
            raise Problem(f"{len(broken)} files in {folder} are not pictures.", details, "Replace or remove them.")
        return self.open(images["sha256"])

    def fill(self, folder: Path, images: pd.DataFrame) -> dict[str, str]:
        """Make the records that are missing, and return the reason for each file that cannot be decoded."""
        files = dict(zip(images["sha256"], images["file"], strict=True))
        problems: dict[str, str] = {}  # by SHA-256

        def read_one(sha256: str) -> Picture | None:
            try:
                content = (folder / files[sha256]).read_bytes()
                if not content:
                    raise ValueError("an empty file")
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise ValueError("it was changed meanwhile")
                return bytes.fromhex(sha256), *self._decode_one(BytesIO(content))
            except decode.UNREADABLE as error:
                problems[sha256] = str(error)
                return None

        with self._lock, ThreadPoolExecutor() as pool:
            missing = self._list_missing(list(files))
            pictures: list[Picture] = []
            with progress_bar(len(missing), "Reading images") as bar:
                for start in range(0, len(missing), self._together):
                    being_read = pool.map(read_one, missing[start : start + self._together])
                    self._append(pictures)  # those before, meanwhile
                    pictures = []
                    for one in being_read:
                        bar.update()
                        if one:
                            pictures.append(one)
            self._append(pictures)
        broken = images[images["sha256"].isin(list(problems))]
        return dict(zip(broken["file"], broken["sha256"].map(problems), strict=True))

    def open(self, sha256: Iterable[str]) -> Records:
        """Open records that `fill` has made, in the order of the SHA-256 of their pictures."""
        keys = self._read_keys()
        place = {key: number for number, key in enumerate(keys["sha256"].tolist())}
        places = np.array([place[bytes.fromhex(one)] for one in sha256], dtype=np.int64)
        return Records(self._records.open("rb"), self._record, len(keys), places, keys["note"][places])

    def _read_keys(self) -> np.ndarray:
        """The keys of all records that are whole."""
        if not (self._keys.exists() and self._records.exists()):
            return np.empty(0, self._key)
        return np.fromfile(self._keys, self._key, count=self._records.stat().st_size // self._record.itemsize)

    def _list_missing(self, wanted: list[str]) -> list[str]:
        """List the pictures to read: those that are not there, or all if the cache has to start again."""
        known = {key.hex() for key in self._read_keys()["sha256"].tolist()}
        missing = [sha256 for sha256 in wanted if sha256 not in known]
        if (len(known) + len(missing)) * self._record.itemsize > max(LARGEST, 2 * len(wanted) * self._record.itemsize):
            self._keys.unlink()
            self._records.unlink()
            return wanted
        return missing

    def _append(self, pictures: list[Picture]) -> None:
        """Write the records of pictures behind those that are whole, then their keys."""
        whole = len(self._read_keys())
        records = self._compute(np.stack([pixels for _, pixels, _ in pictures])) if pictures else np.empty(0)
        keys = np.array([(sha256, note) for sha256, _, note in pictures], self._key)
        for path, kind, new in ((self._records, self._record, records), (self._keys, self._key, keys)):
            with path.open("ab") as file:
                file.truncate(whole * kind.itemsize)
                file.write(new.tobytes())
                file.flush()
                os.fsync(file.fileno())
