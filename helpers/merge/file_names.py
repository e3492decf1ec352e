"""Names of files and folders that are safe and free, on every system."""

import html
import re
from collections.abc import Mapping
from unicodedata import normalize

LONGEST_NAME = 255  # bytes; file systems take no more
# Windows or macOS refuse or change these names, and data sets travel between systems.
UNSAFE_NAME = re.compile(r'^[\s.]|[\s.]$|[<>:"/\\|?*]|^(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])(\.|$)', re.IGNORECASE)


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


def name_in_message(image: str) -> str:
    """Shorten the name of an image for a message: it can be a ``data:`` URI."""
    return image if len(image) <= 200 else f"{image[:200]}…"
