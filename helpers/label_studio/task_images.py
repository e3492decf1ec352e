"""Read the images that tasks of Label Studio show: from disk by their names, else from the server."""

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Lock

import httpx
import numpy as np

from helpers.decode import Input
from helpers.hashing import sha256_of
from helpers.label_studio.client import Server, connect
from helpers.label_studio.settings import Settings
from helpers.labels.fields import file_of
from helpers.merge.files import ImageFiles

LONGEST_REFERENCE = 4096  # characters; a data: URI or an attack is longer
LARGEST_IMAGE = 1 << 26  # bytes
WAIT = httpx.Timeout(10, connect=3)  # seconds; a server that has an image sends it at once
LISTING_SHARE = 0.05  # of the time goes into listing the folder, so that new files are found

logger = logging.getLogger(__name__)


class TaskImages:
    """The images below a folder, which is never left, and those of the Label Studio of the settings, if they name one.

    It is used by many threads at once.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder.resolve(), settings
        self._files: ImageFiles | None = None
        self._list_again = 0.0
        self._server: Server | None = None
        self._listing, self._connecting = Lock(), Lock()
        self._readers = ThreadPoolExecutor(2 * (os.cpu_count() or 1), "image")

    def read(self, images: Sequence[object], seen: Input, deadline: float) -> list[np.ndarray | None]:
        """Read images side by side, as a network sees them; None and a line in the log where that fails.

        `images` are references as tasks have them: uploads, paths of a storage, URLs. `deadline` is when to give up
        fetching, on the clock of `time.monotonic`.
        """

        def read(image: object) -> np.ndarray | None:
            try:
                return seen.read(self._find(image, deadline))
            except Exception as error:  # one file that breaks a decoder must not stop the others
                logger.warning("No prediction for %.200r: %.500r", image, error)
                return None

        return list(self._readers.map(read, images))

    def _find(self, image: object, deadline: float) -> Path | BytesIO:
        """The file on disk, else the answer of the server; an error of any kind if there is none."""
        if not isinstance(image, str) or not 0 < len(image) <= LONGEST_REFERENCE:
            raise ValueError("not the reference of an image")
        files = [Path(file) for file in self._list().find(image, file_of(image))]
        inside = [file for file in files if file.is_file() and file.resolve().is_relative_to(self._folder)]
        if len(inside) == 1 or len(set(map(sha256_of, inside))) == 1:
            return inside[0]
        reason = f"{len(inside)} different files of that name" if inside else "no file of that name"
        if not self._settings.label_studio_url:
            raise ValueError(f"{reason} in {self._folder}, and no LABEL_STUDIO_URL to fetch it from")
        server = self._connect(deadline)
        return BytesIO(server.download(server.path_of(image), LARGEST_IMAGE, deadline, timeout=WAIT))

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
                raise TimeoutError("no time left to fetch it")
            self._server = self._server or connect(self._settings)
            return self._server
