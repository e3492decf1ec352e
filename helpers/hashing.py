"""Hash files, check that they are pictures, remember the hashes from run to run, and draw at random by them."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import compress
from pathlib import Path

import numpy as np
import orjson

from helpers.decode import SUFFIXES, UNREADABLE, read_upright
from helpers.problems import Problem
from helpers.progress import map_in_threads

LARGEST_FILE = 1 << 30  # bytes; who copies or decodes a picture reads its file as a whole
LARGEST_CACHE = 1 << 28  # bytes, some 1.5 million files; a larger cache starts again, empty
# Each share is drawn by digits of its own, so that the draws have nothing to do with each other.
DIGITS = {"random_share": slice(0, 12), "blind_share": slice(12, 24), "audit": slice(24, 36)}


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
    """SHA-256 of files by path, inode, size, and times of modification and of change.

    Inode, size and time of modification, by which DVC recognises a changed file, are not enough: files of an archive
    that are unpacked where others were deleted may have all three of them. Nothing but the clock sets the time of
    change. Files on a server that never change are known by their address.

    Files that changed no earlier than the cache was written are forgotten: two changes within one tick of the clock
    leave the same time (https://git-scm.com/docs/racy-git). A missing or damaged file is an empty cache.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, list[int | str]] = {}  # by path or address: the numbers of a status, and the hash
        with suppress(OSError, ValueError, AttributeError):  # the last if it holds no object
            status = file.stat()
            if status.st_size <= LARGEST_CACHE:
                known = orjson.loads(file.read_bytes()).items()
                self._known = {name: entry for name, entry in known if _is_settled(entry, status.st_mtime_ns)}

    def get(self, name: str, status: os.stat_result | None = None) -> str:
        """Return the hexadecimal SHA-256 of the file with this path and status, or address; empty if it is unknown."""
        *numbers, sha256 = self._known.get(_key(name, status), [""])
        return str(sha256) if numbers == _numbers(status) else ""

    def put(self, name: str, sha256: str, status: os.stat_result | None = None) -> None:
        """Note the hash of a file. Take its status before reading it, or after writing it and renaming it."""
        self._known[_key(name, status)] = [*_numbers(status), sha256]

    def save(self) -> None:
        """Write the cache to its file, if there is room on the disk. A torn one is damaged, and so an empty cache."""
        with suppress(OSError):
            self._file.write_bytes(orjson.dumps(self._known))


def _key(name: str, status: os.stat_result | None) -> str:
    path = Path(name).absolute() if status else name
    return str(path).encode(errors="backslashreplace").decode()  # a name may be no text


def _numbers(status: os.stat_result | None) -> list[int]:
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns] if status else []


def _is_settled(entry: object, written: int) -> bool:
    """Whether an entry of a cache that was written at this time is whole, and its file changed before."""
    if not (isinstance(entry, list) and entry and isinstance(entry[-1], str)):
        return False  # of an earlier version
    times = entry[2:-1]  # of a file; an address has none
    return all(isinstance(time, int) and time < written for time in times)


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
        elif known := cache.get(file, status):
            hashes[file] = known
        else:
            unknown[file] = status

    def read_one(file: str) -> None:
        try:
            hashes[file] = read(file)
            cache.put(file, hashes[file], unknown[file])
        except UNREADABLE as error:
            problems[file] = str(error)

    map_in_threads(read_one, unknown, description)
    cache.save()
    return hashes, problems


def find_changed(expected: Mapping[str, str], description: str) -> list[str]:
    """Read files again, whatever a cache knows; return those that have another SHA-256 or cannot be read."""

    def differs(file: str) -> bool:
        try:
            return sha256_of(file) != expected[file]
        except OSError:
            return True

    return list(compress(expected, map_in_threads(differs, expected, description)))


def _status_of(file: str) -> os.stat_result | None:
    """Return the size and times of a file; None if it is no regular file."""
    with suppress(OSError):
        status = Path(file).stat()
        if stat.S_ISREG(status.st_mode):
            return status
    return None


def rank(sha256: str, name: str) -> str:
    """Return the digits of a content's SHA-256 by which a draw decides; `name` is one of `DIGITS`."""
    return sha256[DIGITS[name]]


def draw(contents: Iterable[str], name: str, share: float) -> np.ndarray:
    """Draw a share of images, a mask, by digits of their SHA-256: they are as good as random, and stay the same.

    `name` is one of `DIGITS`. A `Problem` tells that the share is not within 0 to 1.
    """
    if not 0 <= share <= 1:
        raise Problem(f"{name} is {share}.", advice="Give a share between 0 and 1.")
    return np.array([int(rank(sha256, name), 16) < share * 16**12 for sha256 in contents], dtype=bool)
