"""Read, hash and check files, many at a time and with a progress bar."""

# ruff: noqa: PTH116, PTH123
# With 100,000 small files, making a Path of each name takes as long as reading them.

import hashlib
import io
import os
import stat
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from helpers.images import SUFFIXES, UNREADABLE, open_image
from helpers.progress import progress_bar

SMALL_FILE, LARGEST_FILE = 100_000, 1 << 30  # bytes; a file is read in one go


def sha256_of(file: str | os.PathLike[str]) -> str:
    """Hash a file's content: SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    with open(file, "rb", buffering=0) as content:
        while block := content.read(1 << 16):
            digest.update(block)
    return digest.hexdigest()


def read_file(file: str, size: int) -> bytes:
    """Read up to `size` bytes in one go."""
    with open(file, "rb", buffering=0) as content:
        return content.read(size)


def size_of(file: str) -> int:
    """How many bytes a file has; -1 if it is no regular file."""
    try:
        status = os.stat(file)
    except OSError:
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def examine_image(known: Collection[str], file: str, size: int) -> tuple[str, str]:
    """Hash a file and see that it is a picture.

    Parameters
    ----------
    known : collection of str
        SHA-256 of pictures that need not be looked at again.
    file : str
        Its path.
    size : int
        Its bytes, from `size_of`.

    Returns
    -------
    sha256, problem : str
        Of the content, and what is wrong with it: one of the two is empty.
    """
    try:
        if not 0 <= size <= LARGEST_FILE:
            raise ValueError("it is no file, a link to none, or larger than 1 GiB")
        content = read_file(file, size)
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 not in known:
            if f".{file.rpartition('.')[2].lower()}" not in SUFFIXES:
                raise ValueError(f"its name ends in none of {', '.join(sorted(SUFFIXES))}")
            open_image(io.BytesIO(content)).close()
    except UNREADABLE as error:
        return "", f"{file} is no picture: {error}"
    return sha256, ""


def map_files(function: Callable[[Any, int], Any], items: Sequence[tuple[Any, int]], description: str) -> list[Any]:
    """Call a function with every item and its size in bytes; a bar shows how far that is, if it takes a while."""
    # Threads that read small files only wait for each other: what takes time is the interpreter.
    small = sum(size for _, size in items) < SMALL_FILE * len(items)
    batches = [items[start : start + 32] for start in range(0, len(items), 32)]
    results: list[Any] = []
    with progress_bar(len(items), description) as bar, ThreadPoolExecutor(1 if small else os.cpu_count()) as pool:
        for batch in pool.map(lambda batch: [function(*item) for item in batch], batches):
            results += batch
            bar.update(len(batch))
    return results
