"""Bound the memory that decoding takes, by the pixels of all pictures that are decoded at once."""

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import BinaryIO

from helpers.decode import open_image

# The C library of Linux keeps freed blocks up to 32 MB for the next ones, in each thread: gigabytes in the end. With a
# limit of one's own, larger blocks go back to the system at once.
M_MMAP_THRESHOLD, LARGEST_KEPT = -3, 1 << 20
if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
    library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)


class Pixels:
    """So many million pixels that threads may decode at the same time; one takes about twelve bytes meanwhile."""

    def __init__(self, millions: int) -> None:
        self._all = self._free = millions * 10**6
        self._changed = Condition()

    @contextmanager
    def reserve(self, file: Path | BinaryIO, deadline: float) -> Iterator[None]:
        """Wait until a picture fits, at most until `deadline`, and keep its place as long as the block runs."""
        with open_image(file) as picture:
            pixels = picture.width * picture.height
        if pixels > self._all:
            raise ValueError(f"it has {pixels:,} pixels, and BACKEND_MEGAPIXELS allows {self._all:,}")
        with self._changed:
            if not self._changed.wait_for(lambda: pixels <= self._free, deadline - time.monotonic()):
                raise TimeoutError("no time left to decode it")
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()
