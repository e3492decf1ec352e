"""Arrays about pictures on disk, by the pictures' content: a cache that may be deleted at any time, never pushed."""

import hashlib
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
from helpers.progress import progress_bar

LARGEST = 10 * 2**30  # bytes of records that are kept for each of the settings
CHUNK = 2**26  # bytes of arrays that are read before their records are computed and written


@dataclass(frozen=True, eq=False)
class Records:
    """Arrays that are read from disk when they are asked for: ``records[rows]``, with a slice or row numbers."""

    file: BinaryIO
    dtype: np.dtype
    stored: tuple[int, ...]  # the shape of all records in the file
    places: np.ndarray  # of these N records in the file
    notes: np.ndarray  # uint8 [N, bytes]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self.stored[1:]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        # Map the file anew each time: pages that were read once do not add up in memory.
        return np.memmap(self.file, self.dtype, "r", shape=self.stored)[self.places[rows]]


class RecordCache:
    """A record of the same shape, and a short note, for each picture of a workspace.

    The file ``records`` holds one record after the other; the file ``keys`` holds, in the same order, the SHA-256 of
    each picture's file and its note. Both only grow. A key is written after its record has reached the disk, so records
    that a killed program left without a key are overwritten. When the records would take more than `LARGEST` bytes, the
    cache starts again, empty, unless half of it is in use.
    """

    def __init__(self, parent: Path, settings: str, dtype: str, shape: tuple[int, ...], note: int = 0) -> None:
        self._dtype, self._shape = np.dtype(dtype), shape
        self._bytes = int(np.prod(shape)) * self._dtype.itemsize
        self._key = np.dtype([("sha256", "V32"), ("note", np.uint8, (note,))])
        # Other code decodes other pixels.
        code = hashlib.sha256(Path(decode.__file__).read_bytes() + PIL.__version__.encode()).hexdigest()[:12]
        folder = parent / f"{settings}-{code}"
        if not folder.exists():
            for outdated in parent.glob(f"{settings}-*"):
                shutil.rmtree(outdated, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        self._records, self._keys, self._lock = folder / "records", folder / "keys", FileLock(folder / "lock")

    def fill(
        self,
        folder: Path,
        images: pd.DataFrame,
        read: Callable[[BytesIO], tuple[np.ndarray, np.ndarray]],
        array_bytes: int,
        compute: Callable[[np.ndarray], np.ndarray] = np.asarray,
    ) -> dict[str, str]:
        """Make the records that are missing, and return the reason for each file that cannot be read.

        Parameters
        ----------
        folder : Path
        images : DataFrame
            A row per picture: its `file`, relative to `folder`, and the `sha256` of its content.
        read : callable
            Turns the content of a file into a note and an array, or raises one of `decode.UNREADABLE`. It runs in
            threads.
        array_bytes : int
            The size of one such array.
        compute : callable
            Turns the arrays of several pictures, stacked, into their records.
        """
        files = dict(zip(images["sha256"], images["file"], strict=True))
        problems: dict[str, str] = {}

        def read_one(sha256: str) -> tuple[bytes, np.ndarray, np.ndarray] | None:
            try:
                content = (folder / files[sha256]).read_bytes()
                if not content:
                    raise ValueError("an empty file")
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise ValueError("it was changed meanwhile")
                return bytes.fromhex(sha256), *read(BytesIO(content))
            except decode.UNREADABLE as error:
                problems[files[sha256]] = str(error)
                return None

        def write(pictures: list[tuple[bytes, np.ndarray, np.ndarray]]) -> None:
            if pictures:
                keys = [(sha256, note) for sha256, note, _ in pictures]
                self._append(keys, compute(np.stack([array for *_, array in pictures])))

        # One part is computed and written while the next one is read.
        with self._lock, ThreadPoolExecutor(1) as disk, ThreadPoolExecutor() as pool:
            self._append([], np.empty(0))  # both files are there, also without pictures
            missing, together = self._list_missing(list(files)), max(1, CHUNK // array_bytes)
            written = disk.submit(write, [])
            with progress_bar(len(missing), "Reading images") as bar:
                for start in range(0, len(missing), together):
                    pictures = []
                    for one in pool.map(read_one, missing[start : start + together]):
                        bar.update()
                        if one:
                            pictures.append(one)
                    written.result()
                    written = disk.submit(write, pictures)
            written.result()
        return problems

    def read(self, sha256: Iterable[str]) -> Records:
        """Open records that `fill` has made, in the order of the SHA-256 of their pictures."""
        keys = self._read_keys()
        place = {key: number for number, key in enumerate(keys["sha256"].tolist())}
        places = np.array([place[bytes.fromhex(one)] for one in sha256], dtype=np.int64)
        return Records(self._records.open("rb"), self._dtype, (len(keys), *self._shape), places, keys["note"][places])

    def _read_keys(self) -> np.ndarray:
        """The keys of all records that are whole."""
        if not (self._keys.exists() and self._records.exists()):
            return np.empty(0, self._key)
        return np.fromfile(self._keys, self._key, count=self._records.stat().st_size // self._bytes)

    def _list_missing(self, wanted: list[str]) -> list[str]:
        """List the pictures to read: those that are not there, or all if the cache has to start again."""
        known = {key.hex() for key in self._read_keys()["sha256"].tolist()}
        missing = [sha256 for sha256 in wanted if sha256 not in known]
        if (len(known) + len(missing)) * self._bytes > max(LARGEST, 2 * len(wanted) * self._bytes):
            self._keys.unlink()
            self._records.unlink()
            return wanted
        return missing

    def _append(self, keys: list[tuple[bytes, np.ndarray]], records: np.ndarray) -> None:
        """Write records behind those that are whole, then their keys: SHA-256 and note of each."""
        whole = len(self._read_keys())
        parts = (
            (self._records, self._bytes, records.astype(self._dtype)),
            (self._keys, self._key.itemsize, np.array(keys, self._key)),
        )
        for path, size, new in parts:
            with path.open("ab") as file:
                file.truncate(whole * size)
                file.write(new.tobytes())
                file.flush()
                os.fsync(file.fileno())
