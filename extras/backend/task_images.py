"""Read the images that tasks of Label Studio show: from disk by their names, else from the server."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from threading import Lock

import httpx2
import numpy as np

from extras.backend.memory import Pixels
from extras.backend.settings import BackendSettings
from extras.label_studio.client import Server, connect
from helpers.hashing import sha256_of
from helpers.labels.fields import file_of
from helpers.merge.image_files import ImageFiles
from helpers.pipeline.input import Input

LONGEST_REFERENCE = 4096  # characters; a data: URI or an attack is longer
LARGEST_IMAGE = 1 << 26  # bytes
READERS = 2 * (os.cpu_count() or 1)  # of a request
WAIT = httpx2.Timeout(10, connect=3)  # seconds; a server that has an image sends it at once
FETCHING = 20  # seconds for all of an image
RESERVED = 25  # seconds at the end, in which only images on disk are read
NO_TIME = "no time left to read it"
LISTING_SHARE = 0.05  # of the time goes into listing the folder, so that new files are found

Finder = Callable[[object], Path | BytesIO]


class TaskImages:
    """The images below a folder, which is never left, and those of the Label Studio of the settings, if they name one.

    It is used by many threads at once. `pixels` bounds the memory that they take.
    """

    def __init__(self, folder: Path, settings: BackendSettings, pixels: Pixels | None = None) -> None:
        self._folder, self._settings, self._pixels = folder.resolve(), settings, pixels
        self._files: ImageFiles | None = None
        self._list_again = 0.0
        self._server: Server | None = None
        self._listing, self._connecting = Lock(), Lock()

    def read(self, images: Sequence[object], seen: Input, deadline: float) -> list[np.ndarray | Exception]:
        """Read images side by side, as a network sees them; an error in place of one that fails.

        `images` are references as tasks have them: uploads, paths of a storage, URLs. `deadline` is when to give up,
        on the clock of `time.monotonic`. Those on disk do not wait for the others, and no call waits for another.
        """

        def read(find: Finder, image: object) -> np.ndarray | Exception:
            try:
                file = find(image)
                with self._pixels.reserve(file, deadline) if self._pixels else nullcontext():
                    return seen.read(file)
            except Exception as error:  # one file that breaks a decoder must not stop the others
                return error

        def read_all(find: Finder, images: Sequence[object], until: float) -> list[np.ndarray | Exception]:
            futures = [readers.submit(read, find, image) for image in images]
            done = wait(futures, until - time.monotonic()).done
            return [future.result() if future in done else TimeoutError(NO_TIME) for future in futures]

        readers = ThreadPoolExecutor(READERS, "image")
        results = read_all(self._find, images, deadline)
        if self._settings.label_studio_url:
            missing = [number for number, result in enumerate(results) if isinstance(result, FileNotFoundError)]
            soon = deadline - RESERVED
            fetched = read_all(lambda image: self._fetch(image, soon), [images[number] for number in missing], soon)
            for number, result in zip(missing, fetched, strict=True):
                results[number] = result
        readers.shutdown(wait=False, cancel_futures=True)  # a server may hold one of them
        return results

    def _find(self, image: object) -> Path:
        """The file on disk; a `FileNotFoundError` if it may be on the server."""
        if not isinstance(image, str) or not 0 < len(image) <= LONGEST_REFERENCE:
            raise ValueError("not the reference of an image")
        files = [Path(file) for file in self._list().find(image, file_of(image))]
        inside = [file for file in files if file.is_file() and file.resolve().is_relative_to(self._folder)]
        if len(inside) == 1 or len(set(map(sha256_of, inside))) == 1:
            return inside[0]
        reason = f"{len(inside)} different files of that name" if inside else "no file of that name"
        raise FileNotFoundError(f"{reason} in {self._folder}, and no LABEL_STUDIO_URL to fetch it from")

    def _fetch(self, image: object, deadline: float) -> BytesIO:
        server, soon = self._connect(deadline), min(deadline, time.monotonic() + FETCHING)
        return BytesIO(server.send("GET", server.path_of(str(image)), LARGEST_IMAGE, soon, timeout=WAIT))

    def _list(self) -> ImageFiles:
        with self._listing:
            started = time.monotonic()
            if not self._files or started > self._list_again:
                self._files = ImageFiles(self._folder)
                ended = time.monotonic()
                self._list_again = ended + (ended - started) / LISTING_SHARE
            return self._files

    def _connect(self, deadline: float) -> Server:
        with self._connecting:
            if time.monotonic() > deadline:
                raise TimeoutError(NO_TIME)
            self._server = self._server or connect(self._settings)
            return self._server
