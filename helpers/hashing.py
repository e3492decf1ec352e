"""Hash files, check that they are pictures, and remember the hashes from run to run."""

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import orjson

from helpers.decode import SUFFIXES, UNREADABLE, open_image
from helpers.progress import map_in_threads

LARGEST_FILE = 1 << 30  # bytes; each file is read as a whole
LARGEST_CACHE = 1 << 28  # bytes, some 2.5 million files; a larger cache starts again, empty


def sha256_of(file: str | os.PathLike[str]) -> str:
    """Hash a file's content: SHA-256, hexadecimal."""
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def status_of(file: str) -> os.stat_result | None:
    """Return the size and times of a file; None if it is no regular file."""
    with suppress(OSError):
        status = Path(file).stat()
        if stat.S_ISREG(status.st_mode):
            return status
    return None


def examine_image(file: str, size: int) -> tuple[str, str]:
    """Return the SHA-256 of an image file and the reason why it is no picture; one of the two is empty."""
    try:
        if not 0 <= size <= LARGEST_FILE:
            raise ValueError("it is no file, a link to none, or larger than 1 GiB")
        content = Path(file).read_bytes()
        if Path(file).suffix.lower() not in SUFFIXES:
            raise ValueError(f"its name ends in none of {', '.join(sorted(SUFFIXES))}")
        open_image(io.BytesIO(content)).close()
    except UNREADABLE as error:
        return "", f"{file} is no picture: {error}"
    return hashlib.sha256(content).hexdigest(), ""


def hash_file(file: str, size: int) -> tuple[str, str]:
    """Return the SHA-256 of any file, in the form of `examine_image`."""
    return sha256_of(file), ""


class HashCache:
    """SHA-256 of files by inode, size and time of modification, by which DVC, too, recognises a changed file.

    It also takes what never changes, by its address.

    Files that were modified no earlier than the cache was written are forgotten: two modifications within one tick of
    the clock leave the same time (https://git-scm.com/docs/racy-git). A missing or damaged file is an empty cache.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, str] = {}
        with suppress(OSError, ValueError, AttributeError):  # the last if it holds no object
            if file and file.stat().st_size <= LARGEST_CACHE:
                written = file.stat().st_mtime_ns
                known = orjson.loads(file.read_bytes()).items()
                self._known = {key: sha256 for key, sha256 in known if int(key.rpartition(" ")[2]) < written}

    def get(self, status: os.stat_result | str) -> str:
        """Return the hexadecimal SHA-256 of the file with this status or address; empty if it is unknown."""
        return self._known.get(_key(status), "")

    def put(self, status: os.stat_result | str, sha256: str) -> None:
        """Note the hash of a file. Take its status before reading it, or after writing it."""
        self._known[_key(status)] = sha256

    def save(self) -> None:
        """Write the cache to its file, if there is room on the disk. A torn one is damaged, and so an empty cache."""
        with suppress(OSError):
            if self._file:
                self._file.write_bytes(orjson.dumps(self._known))


def _key(status: os.stat_result | str) -> str:
    if isinstance(status, str):
        return f"{status} 0"  # in place of a time of modification: always before the cache was written
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def hash_files(
    files: Mapping[str, os.stat_result | None],
    read: Callable[[str, int], tuple[str, str]],
    cache: HashCache,
    description: str,
) -> dict[str, tuple[str, str]]:
    """Return the SHA-256 and the problem of each file by path; one of the two is empty. Only unknown files are read.

    `files` has the `status_of` each path. `read` takes and returns the same as `examine_image`; the cache learns each
    hash that it returns without a problem.
    """

    def read_file(file: str) -> tuple[str, str]:
        status = files[file]
        return read(file, status.st_size if status else -1)

    results = {file: (cache.get(status) if status else "", "") for file, status in files.items()}
    unknown = [file for file, (sha256, _) in results.items() if not sha256]
    results.update(zip(unknown, map_in_threads(read_file, unknown, description), strict=True))
    for file in unknown:
        status, (sha256, _) = files[file], results[file]
        if status and sha256:
            cache.put(status, sha256)
    return results


def hash_all(
    files: Iterable[str], read: Callable[[str, int], tuple[str, str]], cache_file: Path, description: str
) -> dict[str, tuple[str, str]]:
    """Return the result of `hash_files`, with the cache in a file that is written again."""
    cache = HashCache(cache_file)
    results = hash_files({file: status_of(file) for file in files}, read, cache, description)
    cache.save()
    return results
