"""Hash files, check that they are pictures, and remember the hashes from run to run."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import orjson

from helpers.decode import SUFFIXES, UNREADABLE, read_upright
from helpers.progress import map_in_threads

LARGEST_FILE = 1 << 30  # bytes; who copies or decodes a picture reads its file as a whole
LARGEST_CACHE = 1 << 28  # bytes, some 2.5 million files; a larger cache starts again, empty


def sha256_of(file: str | os.PathLike[str]) -> str:
    """Hash a file's content: SHA-256, hexadecimal."""
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sha256_of_image(file: str) -> str:
    """Return the SHA-256 of an image file, or raise one of `UNREADABLE` if it is no picture."""
    if Path(file).suffix.lower() not in SUFFIXES:
        raise ValueError(f"its name ends in none of {', '.join(sorted(SUFFIXES))}")
    if Path(file).stat().st_size > LARGEST_FILE:
        raise ValueError("it is larger than 1 GiB")
    read_upright(file, 1)  # a picture that was cut has a whole header
    return sha256_of(file)


class HashCache:
    """SHA-256 of files by inode, size and time of modification, by which DVC, too, recognises a changed file.

    Files on a server that never change are known by their address.

    Files that were modified no earlier than the cache was written are forgotten: two modifications within one tick of
    the clock leave the same time (https://git-scm.com/docs/racy-git). A missing or damaged file is an empty cache.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, str] = {}
        with suppress(OSError, ValueError, AttributeError):  # the last if it holds no object
            status = file.stat()
            if status.st_size <= LARGEST_CACHE:
                known = orjson.loads(file.read_bytes()).items()
                self._known = {key: sha256 for key, sha256 in known if int(key.rpartition(" ")[2]) < status.st_mtime_ns}

    def get(self, status: os.stat_result | str) -> str:
        """Return the hexadecimal SHA-256 of the file with this status or address; empty if it is unknown."""
        return self._known.get(_key(status), "")

    def put(self, status: os.stat_result | str, sha256: str) -> None:
        """Note the hash of a file. Take its status before reading it, or after writing it."""
        self._known[_key(status)] = sha256

    def save(self) -> None:
        """Write the cache to its file, if there is room on the disk. A torn one is damaged, and so an empty cache."""
        with suppress(OSError):
            self._file.write_bytes(orjson.dumps(self._known))


def _key(status: os.stat_result | str) -> str:
    if isinstance(status, str):
        return f"{status} 0"  # in place of a time of modification: always before the cache was written
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def hash_all(
    files: Iterable[str], read: Callable[[str], str], cache_file: Path, description: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the SHA-256 of each file and, for each file that cannot be read, the reason; both by path.

    `read` is `sha256_of` or `sha256_of_image`. It gets the files that the cache in `cache_file` does not know.
    """
    cache = HashCache(cache_file)
    hashes: dict[str, str] = {}
    problems: dict[str, str] = {}
    unknown: dict[str, os.stat_result] = {}
    for file in files:
        status = _status_of(file)
        if not status:
            problems[file] = "it is no file, or a link to none"
        elif known := cache.get(status):
            hashes[file] = known
        else:
            unknown[file] = status

    def read_one(file: str) -> None:
        try:
            hashes[file] = read(file)
            cache.put(unknown[file], hashes[file])
        except UNREADABLE as error:
            problems[file] = str(error)

    map_in_threads(read_one, unknown, description)
    cache.save()
    return hashes, problems


def _status_of(file: str) -> os.stat_result | None:
    """Return the size and times of a file; None if it is no regular file."""
    with suppress(OSError):
        status = Path(file).stat()
        if stat.S_ISREG(status.st_mode):
            return status
    return None
