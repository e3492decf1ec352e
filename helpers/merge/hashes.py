"""What files hash to, kept from run to run: asking for size and time of a file is quicker than reading it."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import orjson

from helpers.merge.content import map_files

LARGEST_CACHE = 1 << 28  # bytes, some 2.5 million files; then it begins anew


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
