"""The fields of an export: which of them holds the image, which the label, and which file an image stands for."""

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from helpers.decode import SUFFIXES
from helpers.problems import Problem

# Image references match one of these; the surest comes first. The next is tried if no field has such a value.
SUFFIX = f"({'|'.join(map(re.escape, sorted(SUFFIXES)))})"
IMAGE_REFERENCES = (
    rf"^data:image/|/data/(upload|local-files)/|^(s3|gs|azure[\w-]*)://|/[^/?#]*{SUFFIX}([?#]|$)",
    r"^https?://",
    rf"{SUFFIX}$",
)
# The image's key in files that were uploaded before the project had a labelling configuration.
UNDEFINED = "$undefined$"
# A JSON-MIN row is the task's data, its id, the controls, and these. A CSV has the same columns, sorted.
TAIL = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")
# Who sends images to be labelled adds these to the data of the tasks. A CSV has their values as text.
QUEUE, QUEUE_REASON, QUEUED_BY, SCENE = "queue", "queue_reason", "queued_by", "scene"
# Why an image was asked for, as far as it says something about the image: a near-duplicate is simply a late one.
CHANCE, LEAST_CERTAIN = "chance", "least certain"
# The nameless column is the index that pandas writes into a CSV.
NOT_DATA = {"", "id", "agreement", "history", *TAIL}


def find_image_key(rows: list[dict[str, Any]], names: set[str], named: str) -> str:
    """Return the field that holds the images: the named one, or else the one whose values look like images."""
    fields = sorted(names - NOT_DATA - {UNDEFINED})
    few = rows[:: len(rows) // 10_000 + 1]  # ten thousand rows show it as well as a million
    found: list[str] = []
    for pattern, text_of in product(IMAGE_REFERENCES, (_text, _first_text)):
        looks = re.compile(pattern, re.IGNORECASE).search
        counts = {name: sum(bool(looks(text_of(row.get(name)))) for row in few) for name in fields}
        if found := frequent(counts):
            break
    early = UNDEFINED in names and not found and named not in names
    key = UNDEFINED if early else choose("image_key", named, found, names)
    if key not in names:
        listed = [f"the export has: {name}" for name in fields]
        raise Problem("No field of the export holds images.", listed, "Set image_key if one of these does.")
    if lists := sum(isinstance(row.get(key), list) for row in few):
        raise Problem(
            "Tasks with several images are not supported, because one label would stand for several images.",
            [f"{key}: a list in {lists} tasks"],
            'Import one task for each image, and show it with <Image value="$image"> in place of valueList.',
        )
    return key


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _first_text(value: object) -> str:
    return _text(value[0]) if isinstance(value, list) and value else ""


def frequent(counts: dict[str, int]) -> list[str]:
    """Return the names that occur at least half as often as the most frequent one; rarer ones are strays."""
    return sorted(name for name, count in counts.items() if count and 2 * count >= max(counts.values()))


def refuse_controls(used: set[str]) -> NoReturn:
    """Refuse an export whose annotations used these controls, and no choices."""
    raise Problem(
        "No annotation of the export has a choice, and only choices are read as labels.",
        [f"the export has: {control}" for control in sorted(used)],
        "Label whole images with a <Choices>: boxes, taxonomies and other controls give an image no class.",
    )


def choose(parameter: str, named: str, candidates: list[str], known: Iterable[str]) -> str:
    """Return the named field, or else the only candidate; an empty string if there is none."""
    if named and (named in known or not candidates):
        return named
    if named or len(candidates) > 1:
        raise Problem(
            f"The export has no {named!r}." if named else f"Several fields of the export could be the {parameter}.",
            [f"it could be: {name}" for name in candidates],
            f"Set {parameter} to the one that is meant.",
        )
    return candidates[0] if candidates else ""


def queue_reason_of(data: Mapping[str, object]) -> str:
    """Tell whether chance or the model's doubt put a task into the queue; empty if its data do not say that."""
    told = data.get(QUEUE_REASON)
    return told if isinstance(told, str) and told in (CHANCE, LEAST_CERTAIN) else ""


def scene_of(data: Mapping[str, object], key: str) -> str:
    """Read the scene of an image from a field of its task's data: a text or a number. Empty if there is none.

    Every format writes a number in the same way, so that it names the same scene in each.
    """
    value = data.get(key) if key else None
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else ""


def require_scene_key(rows: Iterable[Mapping[str, object]], key: str) -> None:
    """Raise a `Problem` if no task's data have the field that shall name the scenes."""
    names: set[str] = set().union(*rows)
    if key and key not in names:
        listed = [f"the export has: {name}" for name in sorted(names - NOT_DATA)]
        raise Problem(f"The export has no {key!r}.", listed, "Set scene_key to the field that names the scenes.")


def file_of(image: str) -> str:
    """Return the percent-decoded file to look for on disk, for an image as Label Studio names it.

    It is the stored name of an upload, else the path below the bucket, host or document root; empty for ``data:``. An
    address whose path does not end like an image has its query, too: ``show%3Fid=1`` for ``https://host/show?id=1``.
    """
    if "/data/upload/" in image:
        return unquote(image.partition("?")[0].partition("#")[0].rpartition("/")[2])
    if "/data/local-files/?d=" in image:
        return unquote(image.partition("?d=")[2].partition("&")[0])
    scheme = image[:5].lower()
    if scheme == "data:":
        return ""
    if scheme.startswith(("http", "/")):
        # Elsewhere a # is part of the name: Label Studio takes the keys of a bucket as they are.
        image = image.partition("#")[0]
    path, _, query = image.partition("?")
    _, absolute, below_scheme = path.partition("://")
    file = unquote(below_scheme.partition("/")[2] if absolute else path.lstrip("/"))
    if query and scheme.startswith("http") and not path.lower().endswith(tuple(SUFFIXES)):
        file += quote(f"?{query}", safe="%=&+,;")
    return file
