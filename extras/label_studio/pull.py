"""Pull from Label Studio: the export of a project, and the images that it names."""

import logging
import time
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pandas as pd

from extras.label_studio.client import AT_A_TIME, SOON, Server, connect
from extras.label_studio.projects import list_projects, parse_project_url
from extras.label_studio.settings import Settings
from helpers.decode import SUFFIXES, UNREADABLE, open_image
from helpers.labels.consensus import read_export
from helpers.labels.formats import parse_json
from helpers.merge.file_names import is_safe
from helpers.merge.image_files import UPLOAD, ImageFiles
from helpers.merge.lineage import hash_labels
from helpers.problems import Problem
from helpers.progress import map_in_threads
from helpers.round.parameters import find_images
from helpers.workspace import EXTRA

LARGEST_EXPORT, LARGEST_IMAGE = 1 << 33, 1 << 28  # bytes
FETCHING = 300  # seconds for all of an image

logger = logging.getLogger(__name__)


def pull_round(address: str, root: Path, images: str, **reading: Any) -> Path:
    """Pull the labels of a project into ``extra-data``, and the labelled images that are not on disk into `images`.

    `address` is that of the project, as a browser shows it. Returns the file of the export. The options `reading` of
    `read_export` decide which images have a label.
    """
    url, project = parse_project_url(address)
    folder = find_images(images, root)
    server = connect(Settings.read(root), url)
    export, labels = pull_export(server, project, root / EXTRA, **reading)
    fetch_images(server, labels, folder)
    return export


def pull_export(server: Server, project: int, folder: Path, **reading: Any) -> tuple[Path, pd.DataFrame]:
    """Save all tasks of a project, those without labels, too, as JSON in a folder; read them with `read_export`.

    The file is ``project-<number>-<12 digits of the hash of its labels>.json``: each state of the labels is kept once,
    as it came last. Its bytes may change by the minute, with drafts and predictions; see `hash_labels`.
    """
    projects = list_projects(server)
    if project not in projects:
        known = [f"{number}: {title}" for number, title in projects.items()]
        raise Problem(f"Label Studio at {server.url} has no project {project}, or not for this key.", known)
    everything = {"exportType": "JSON", "download_all_tasks": "true"}
    content = server.send("GET", f"/api/projects/{project}/export", LARGEST_EXPORT, params=everything)
    try:
        tasks = parse_json(content)
    except ValueError as error:
        advice = "Try again. If it stays so, correct the text in Label Studio."
        raise Problem(f"The export came damaged: {error}.", advice=advice) from None
    fields = {"data", "annotations"}
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and fields <= task.keys() for task in tasks):
        raise Problem("Label Studio answered with something other than an export.", [str(tasks)[:200]])
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".") as place:
        pulled = Path(place) / f"project-{project}.json"
        pulled.write_bytes(content)
        labels = read_export(pulled, **reading)
        export = folder / export_name(project, hash_labels(labels))
        pulled.replace(export)
    return export, labels


def export_name(project: int, labels_sha256: str) -> str:
    """The file that keeps the export of a project whose labels have this hash."""
    return f"project-{project}-{labels_sha256[:12]}.json"


def fetch_images(server: Server, labels: pd.DataFrame, images: Path) -> None:
    """Fetch the labelled images that are not on disk from the server that has them.

    An upload goes to ``<project>/<name on the server>`` below the folder `images`, where `ImageFiles` finds it by its
    exact name; a local file of the server goes to the path that it has there. An image that cannot be fetched is
    logged, and left for `helpers.merge.plan.plan_merge` to report; a server that stops answering is a `Problem`.
    """
    known = ImageFiles(images)
    labelled = labels[labels["label"].notna()]
    pairs = zip(labelled["image"], labelled["file"], strict=True)
    missing = [(image, file) for image, file in pairs if len(known.find(image, file)) != 1]
    fetched: list[str] = []

    def fetch(item: tuple[str, str]) -> None:
        try:
            _fetch_image(server, *item, images)
            fetched.append(item[0])
        except (Problem, *UNREADABLE) as error:
            _see_that_it_answers(server, f"{len(fetched):,} of {len(missing):,} images")
            logger.warning("%.200s was not fetched: %s", item[0], error)

    map_in_threads(fetch, missing, "Fetching images", AT_A_TIME)


def _see_that_it_answers(server: Server, done: str) -> None:
    try:
        server.ask("GET", "/api/current-user/whoami", timeout=SOON)
    except Problem as problem:
        raise Problem(
            f"Label Studio at {server.url} stopped answering after {done}.",
            [problem.headline, *problem.details],
            "Once it answers, the same command goes on from there.",
        ) from None


def _fetch_image(server: Server, image: str, file: str, images: Path) -> None:
    upload = UPLOAD.search(image)
    path = PurePosixPath(upload[1] or ".", file) if upload else PurePosixPath(file)
    if not all(map(is_safe, path.parts)) or path.suffix.lower() not in SUFFIXES:
        raise ValueError("its name is not safe, or not that of an image")
    deadline = time.monotonic() + FETCHING
    content = server.send("GET", server.path_of(image), LARGEST_IMAGE, deadline, timeout=SOON)
    with open_image(BytesIO(content)) as picture:
        picture.verify()
    _write(images / path, content)


def _write(file: Path, content: bytes) -> None:
    """Write a file as a whole, whenever the program is killed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{uuid4().hex}.part")  # two threads may write the same file
    part.write_bytes(content)
    part.replace(file)
