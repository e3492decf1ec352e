"""File names: find the candidates for an image of an export, and give names that are safe and free."""

import html
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from helpers.decode import SUFFIXES
from helpers.files import is_text, list_files

UPLOAD = re.compile(r"/data/upload/(?:(\d+)/)?[^/?#]+([?#]|$)")  # servers of old have no number of the project
PREFIX = re.compile(r"^[0-9a-f]{8}-")
# Django cuts the path of an upload to 100 characters, and ends its stem with `_` and seven random ones.
LONGEST_UPLOAD = 100
CUT_NAME = re.compile(r"(.+)_[A-Za-z0-9]{7}(\.\w+)")

LAST_CHARACTER = "\U0010ffff"  # sorts behind all others
LONGEST_NAME = 255  # bytes; file systems take no more
# Windows or macOS refuse or change these names, and data sets travel between systems.
UNSAFE_NAME = re.compile(r'^[\s.]|[\s.]$|[<>:"/\\|?*]|^(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])(\.|$)', re.IGNORECASE)


class ImageFiles:
    """The files below a folder, at any depth, by the names that an export may give them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._stored: dict[str, list[str]] = defaultdict(list)  # by the name under which Label Studio stores an upload
        self._respelled: dict[str, list[str]] = defaultdict(list)  # the same, with accents in any form of Unicode
        self._paths: dict[str, list[str]] = defaultdict(list)  # by the path relative to the folder
        self._tails: dict[str, list[str]] = defaultdict(list)  # by the same path without one or more leading folders
        for path in filter(is_text, list_files(self._folder)):  # an export names no others
            name = path.rpartition("/")[2]
            self._stored[stored_name(name)].append(path)
            for spelling in {stored_name(form) for form in (name, normalize("NFC", name), normalize("NFD", name))}:
                self._respelled[spelling].append(path)
            tail = normalize("NFC", path)
            self._paths[tail].append(path)
            while tail := tail.partition("/")[2]:
                self._tails[tail].append(path)
        self._names = sorted(self._respelled)

    def find(self, image: str, file: str) -> list[str]:
        """Find the files that a row of `helpers.labels.read_export` may stand for, as absolute paths.

        If several files fit, only their content can tell whether they are the same image.
        """
        upload = UPLOAD.search(image)
        found = self._find_upload(file, upload[1] or "") if upload else self._find_path(file)
        if not (found or upload or Path(file).suffix.lower() in SUFFIXES):  # an address may lack what a picture needs
            found = [path for suffix in sorted(SUFFIXES) for path in self._find_path(file + suffix)]
        return [f"{self._folder}/{path}" for path in found]

    def _find_upload(self, file: str, project: str) -> list[str]:
        name = stored_name(PREFIX.sub("", file))
        for names, key in ((self._stored, file), (self._stored, name), (self._respelled, name)):
            if key in names:
                return names[key]
        # If its name was cut, it can be every file of a longer name with the same beginning and suffix.
        cut = CUT_NAME.fullmatch(name)
        if not cut or len(str(PurePosixPath("upload", project, file))) != LONGEST_UPLOAD:
            return []
        start, suffix = cut.groups()
        first, end = bisect_left(self._names, start), bisect_left(self._names, start + LAST_CHARACTER)
        keys = [key for key in self._names[first:end] if key.endswith(suffix) and len(key) > len(name)]
        return list(dict.fromkeys(path for key in keys for path in self._respelled[key]))

    def _find_path(self, path: str) -> list[str]:
        """Find a storage path. Either it or the path on disk may have leading folders that the other lacks."""
        path = normalize("NFC", path.replace("\\", "/").strip("/"))
        for paths in (self._paths, self._tails):
            if path in paths:
                return paths[path]
        while path and path not in self._paths:
            path = path.partition("/")[2]
        return self._paths.get(path, [])


def stored_name(name: str) -> str:
    """Give a file name the form in which Label Studio stores an upload, without the prefix.

    Django 5 does the same in ``MultiPartParser.sanitize_file_name`` and then in ``get_valid_filename``.
    """
    basename = html.unescape(name).replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[^-\w.]", "", basename.rstrip().replace(" ", "_"))


def is_safe(name: str) -> bool:
    """Tell whether a file or folder can have this name on every system."""
    return name.isprintable() and 0 < len(name.encode()) <= LONGEST_NAME and not UNSAFE_NAME.search(name)


def fold(name: str) -> str:
    """Return one spelling for all names that some file systems treat as equal."""
    return normalize("NFC", name).casefold()


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


def folder_of(label: str) -> str:
    """Return the name of the folder for a label; that of a nested choice, ``a / b``, is ``a - b``."""
    return label.replace(" / ", " - ")


def shorten(image: str) -> str:
    """Shorten an image's name for a message: it can be a ``data:`` URI."""
    return image if len(image) <= 200 else f"{image[:200]}…"
