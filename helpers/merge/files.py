"""File names: find the candidates for an image of an export, and give names that are safe and free."""

import html
import os
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from unicodedata import normalize

UPLOAD = re.compile(r"/data/upload/(?:(\d+)/)?[^/]+$")
PREFIX = re.compile(r"^[0-9a-f]{8}-")
# Django cuts the path of an upload to 100 characters, and ends its stem with `_` and seven random ones.
LONGEST_UPLOAD = 100
CUT_NAME = re.compile(r"(.+)_[A-Za-z0-9]{7}(\.\w+)")
PLAIN = re.compile(r"[-.A-Za-z0-9_]+")

LONGEST_NAME = 255  # bytes; file systems take no more
# Windows or macOS refuse or change these names, and data sets travel between systems.
UNSAFE_NAME = re.compile(r'^[\s.]|[\s.]$|[<>:"/\\|?*]|^(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])(\.|$)', re.IGNORECASE)


class ImageFiles:
    """The files below a folder, at any depth, by the names that an export may give them."""

    def __init__(self, folder: Path) -> None:
        root = folder.absolute()
        self._files = [(path, f"{root}/{path}") for path in list_files(root)]
        self._stored: dict[str, list[str]] = defaultdict(list)  # by the name under which Label Studio stores an upload
        self._respelled: dict[str, list[str]] = defaultdict(list)  # the same, with accents in either form of Unicode
        for path, file in self._files:
            name = path.rpartition("/")[2]
            self._stored[stored_name(name)].append(file)
            if not name.isascii():
                for spelling in {normalize("NFC", name), normalize("NFD", name)}:
                    self._respelled[stored_name(spelling)].append(file)

    def find(self, image: str, file: str) -> list[str]:
        """Find the files that a row of `helpers.labels.read_export` may stand for, as absolute paths.

        If several files fit, only their content can tell whether they are the same image.
        """
        upload = UPLOAD.search(image)
        if not upload:
            return self._find_path(file)
        name = stored_name(PREFIX.sub("", file))
        for names, key in ((self._stored, file), (self._stored, name), (self._respelled, name)):
            if key in names:
                return names[key]
        return self._find_cut(name) if len(f"upload/{upload[1]}/{file}") == LONGEST_UPLOAD else []

    def _find_path(self, path: str) -> list[str]:
        """Find a storage path. Either it or the path on disk may have leading folders that the other lacks."""
        path = normalize("NFC", path.replace("\\", "/").strip("/"))
        for paths in (self._paths, self._tails):
            if path in paths:
                return paths[path]
        while path and path not in self._paths:
            path = path.partition("/")[2]
        return self._paths.get(path, [])

    def _find_cut(self, name: str) -> list[str]:
        """Find an upload whose name was cut: every longer name with the same beginning and suffix."""
        cut = CUT_NAME.fullmatch(name)
        if not cut:
            return []
        start, suffix = cut.groups()
        following = map(self._sorted.__getitem__, range(bisect_left(self._sorted, start), len(self._sorted)))
        keys = [key for key in takewhile(lambda key: key.startswith(start), following) if key.endswith(suffix)]
        return [file for key in keys if len(key) > len(name) for file in self._stored.get(key) or self._respelled[key]]

    @cached_property
    def _paths(self) -> dict[str, list[str]]:
        """The files by their paths relative to the folder."""
        paths = defaultdict(list)
        for path, file in self._files:
            paths[normalize("NFC", path)].append(file)
        return dict(paths)

    @cached_property
    def _tails(self) -> dict[str, list[str]]:
        """The files by the same paths without one or more leading folders."""
        tails: dict[str, list[str]] = defaultdict(list)
        for path, files in self._paths.items():
            while path := path.partition("/")[2]:
                tails[path] += files
        return dict(tails)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted({*self._stored, *self._respelled})


def stored_name(name: str) -> str:
    """Give a file name the form in which Label Studio stores an upload, without the prefix.

    Django 5 does the same in ``MultiPartParser.sanitize_file_name`` and then in ``get_valid_filename``.
    """
    if PLAIN.fullmatch(name):  # true of nearly all names; the steps below take ten times as long
        return name
    basename = html.unescape(name).replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[^-\w.]", "", basename.rstrip().replace(" ", "_"))


def is_safe(name: str) -> bool:
    """Tell whether a file or folder can have this name on every system."""
    return name.isprintable() and 0 < len(name.encode()) <= LONGEST_NAME and not UNSAFE_NAME.search(name)


def fold(name: str) -> str:
    """Return one spelling for all names that some file systems treat as equal."""
    return name.lower() if name.isascii() else normalize("NFC", name).casefold()


def free_name(folder: str, file: str, sha256: str, taken: Mapping[str, str]) -> str:
    """Return ``folder/name`` for an image: the safe and free name that is nearest to that of its file.

    `sha256` tells the image from others of the same name. `taken` maps names, as `fold` writes them, to the SHA-256 of
    their images.
    """
    stem, _, suffix = stored_name(normalize("NFC", file.rpartition("/")[2])).rpartition(".")
    stem = stem.strip(".").encode()[: LONGEST_NAME - 50].decode(errors="ignore")
    stem = stem if is_safe(stem) else sha256[:8]
    name, number = f"{folder}/{stem}.{suffix}", 1
    while taken.get(fold(name), sha256) != sha256:
        name = f"{folder}/{stem}-{sha256[:8]}{f'-{number}' if number > 1 else ''}.{suffix}"
        number += 1
    return name


def class_of(name: str) -> str:
    """Return the class of an image by its path relative to the training set."""
    return name.partition("/")[0]


def shorten(image: str) -> str:
    """Shorten an image's name for a message: it can be a ``data:`` URI."""
    return image if len(image) <= 200 else f"{image[:200]}…"


def list_files(folder: Path) -> list[str]:
    """List all files below a folder, relative to it, sorted. Links to folders are not followed."""
    start = len(f"{folder}/")
    return sorted(
        f"{place}/{name}"[start:].replace(os.sep, "/") for place, _, names in os.walk(folder) for name in names
    )
