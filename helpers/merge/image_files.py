"""Find the file that an image of an export stands for, by the names that it may have on disk."""

import re
from bisect import bisect_left
from collections import defaultdict
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from helpers.decode import SUFFIXES
from helpers.files import UPLOADED, is_text, list_files
from helpers.merge.file_names import stored_name

UPLOAD = re.compile(r"/data/upload/(?:(\d+)/)?[^/?#]+([?#]|$)")  # servers of old have no number of the project
# Django cuts the path of an upload to 100 characters, and ends its stem with `_` and seven random ones.
LONGEST_UPLOAD = 100
CUT_NAME = re.compile(r"(.+)_[A-Za-z0-9]{7}(\.\w+)")
LAST_CHARACTER = "\U0010ffff"  # sorts behind all others


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
        name = stored_name(UPLOADED.sub("", file))
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
