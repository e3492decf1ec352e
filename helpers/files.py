"""The files below a folder, and the training set: a folder of images per class."""

import os
import re
from pathlib import Path

from helpers.hashing import hash_all, sha256_of
from helpers.problems import Problem

UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the name of an upload


def list_files(folder: Path) -> list[str]:
    """List all files below a folder, relative to it, sorted. Links to folders are not followed."""
    start = len(f"{folder}/")
    return sorted(
        f"{place}/{name}"[start:].replace(os.sep, "/") for place, _, names in os.walk(folder) for name in names
    )


def list_training_set(raw: Path) -> list[str]:
    """List the images of the training set, relative to it, sorted: every file in a class, unless it is hidden."""
    return list(filter(is_image, list_files(raw)))


def is_image(name: str) -> bool:
    """Whether a file of the training set, named by its path relative to it, is one of its images."""
    return "/" in name and "/." not in f"/{name}"


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8. Python gives other bytes as surrogates, which no table or JSON takes."""
    return name.encode(errors="ignore").decode() == name


def require_text_names(raw: Path) -> None:
    """Raise a `Problem` that names all files of the training set whose names are not UTF-8: DVC stops at them, too."""
    if wrong := [ascii(f"{raw}/{name}") for name in list_files(raw) if not is_text(name)]:
        raise Problem(f"{len(wrong)} files in {raw} have names that are not UTF-8.", wrong, "Rename them.")


def class_of(name: str) -> str:
    """Return the class of an image by its path relative to the training set."""
    return name.partition("/")[0]


def read_training_set(raw: Path, hashes: Path) -> dict[str, str]:
    """Return the SHA-256 of each image that `list_training_set` lists, by its path relative to the training set.

    `hashes` is the file of a `helpers.hashing.HashCache`. A `Problem` names all images that cannot be read.
    """
    require_text_names(raw)
    paths = {f"{raw}/{name}": name for name in list_training_set(raw)}
    known, unreadable = hash_all(paths, sha256_of, hashes, "Reading the training set")
    if unreadable:
        details = sorted(f"{file}: {reason}" for file, reason in unreadable.items())
        raise Problem(
            f"{len(unreadable)} files in {raw} cannot be read.",
            details,
            "Make them readable, or remove them. `dvc checkout` mends links to nothing.",
        )
    return {name: known[path] for path, name in paths.items()}
