"""Read, hash and check files, many at a time and with a progress bar, and remember their hashes from run to run."""

# ruff: noqa: PTH116, PTH123
# With 100,000 small files, making a Path of each name takes as long as reading them, and `open` twice as long.

import hashlib
import io
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from helpers.decode import SUFFIXES, UNREADABLE, open_image
from helpers.progress import progress_bar

BINARY = getattr(os, "O_BINARY", 0)  # which only Windows has
SMALL_FILE, LARGEST_FILE = 100_000, 1 << 30  # bytes; a file is read in one go
LARGEST_CACHE = 1 << 28  # bytes, some 2.5 million files; then it begins anew


def sha256_of(file: str | os.PathLike[str]) -> str:
    """Hash a file's content: SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    with open(file, "rb", buffering=0) as content:
        while block := content.read(1 << 16):
            digest.update(block)
    return digest.hexdigest()


def read_file(file: str) -> bytes:
    """Read a whole file."""
    descriptor = os.open(file, os.O_RDONLY | BINARY)
    try:
        size = os.fstat(descriptor).st_size
        content = os.read(descriptor, size)
        while len(content) < size and (rest := os.read(descriptor, size - len(content))):
            content += rest
        return content
    finally:
        os.close(descriptor)


def write_file(file: str, content: bytes) -> os.stat_result:
    """Write a file that does not exist yet, and tell its status."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def status_of(file: str) -> os.stat_result | None:
    """Size and times of a file; None if it is no regular file."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def size_of(file: str) -> int:
    """How many bytes a file has; -1 if it is no regular file."""
    status = status_of(file)
    return status.st_size if status else -1


def examine_image(file: str, size: int) -> tuple[str, str]:
    """Hash a file and see that it is a picture.

    Parameters
    ----------
    file : str
        Its path.
    size : int
        Its bytes, from `size_of`; -1 where there is no such file.

    Returns
    -------
    sha256, problem : str
        Of the content, and what is wrong with it: one of the two is empty.
    """
    try:
        if not 0 <= size <= LARGEST_FILE:
            raise ValueError("it is no file, a link to none, or larger than 1 GiB")
        content = read_file(file)
        sha256 = hashlib.sha256(content).hexdigest()
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
    results: list[Any] = []
    with progress_bar(len(items), description) as bar, ThreadPoolExecutor() as pool:
        for result in (map if small else pool.map)(lambda item: function(*item), items):
            results.append(result)
            bar.update()
    return results


class HashCache:
    """SHA-256 by what DVC, too, goes by to tell whether a file changed: inode, size and time of modification.

    A file that was modified no earlier than the cache was written is taken for unknown, since two modifications within
    one tick of the clock leave the same time (https://git-scm.com/docs/racy-git).

    Parameters
    ----------
    file : Path or None
        Where `save` keeps it. If it is not there, damaged or None, no file is known.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, str] = {}
        self._written, self._changed = 0, False
        if file is None:
            return
        with suppress(OSError, ValueError):
            status = file.stat()
            if status.st_size <= LARGEST_CACHE:
                known = orjson.loads(file.read_bytes())
                self._known, self._written = known if isinstance(known, dict) else {}, status.st_mtime_ns

    def get(self, status: os.stat_result) -> str:
        """The SHA-256 of the file that has this status, hexadecimal; empty if it is not known."""
        return self._known.get(_key(status), "") if status.st_mtime_ns < self._written else ""

    def put(self, status: os.stat_result, sha256: str) -> None:
        """Note what a file hashed to that had this status before it was read, or after it was written."""
        self._known[_key(status)] = sha256
        self._changed = True

    def save(self) -> None:
        """Write it to its file, if there is news and room."""
        if self._file is None or not self._changed:
            return
        part = self._file.with_name(f"{self._file.name}.part")
        with suppress(OSError):
            try:
                part.write_bytes(orjson.dumps(self._known))
                part.replace(self._file)
            finally:
                part.unlink(missing_ok=True)


def hash_files(
    files: Mapping[str, os.stat_result | None],
    read: Callable[[str, int], tuple[str, str]],
    cache: HashCache,
    description: str,
) -> dict[str, tuple[str, str]]:
    """Hash files, and read only those that the cache does not know.

    Parameters
    ----------
    files : mapping of str to stat_result or None
        Paths, with what `status_of` said of them.
    read : callable
        Takes and returns what `examine_image` does.
    cache : HashCache
        Learns what was read without a problem.
    description : str
        For the progress bar.

    Returns
    -------
    dict of str to tuple of str
        By path: the SHA-256 and the problem, of which one is empty.
    """
    results = {file: (cache.get(status) if status else "", "") for file, status in files.items()}
    unknown = [(file, status.st_size if status else -1) for file, status in files.items() if not results[file][0]]
    for (file, _), result in zip(unknown, map_files(read, unknown, description), strict=True):
        results[file] = result
        if (status := files[file]) and result[0]:
            cache.put(status, result[0])
    return results


def _key(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
