"""Pull from Label Studio: the export of a project, and the images that it names."""

import hashlib
import logging
import tempfile
from io import BytesIO
from pathlib import Path, PurePosixPath

import orjson
import pandas as pd

from helpers.decode import SUFFIXES, UNREADABLE, open_image
from helpers.label_studio.client import Server, connect, list_projects, map_answers, parse_project_url, pieces
from helpers.label_studio.settings import read_settings
from helpers.labels.consensus import read_export
from helpers.merge.files import UPLOAD, ImageFiles, is_safe
from helpers.parameters import find_images
from helpers.problems import Problem
from helpers.workspace import EXTRA

LARGEST_EXPORT = 1 << 33  # bytes

logger = logging.getLogger(__name__)


def pull_round(address: str, root: Path, images: str, **reading: str) -> Path:
    """Pull the labels of a project into ``extra-data``, and the labelled images that are not on disk.

    Parameters
    ----------
    address : str
        Of the project, as a browser shows it: ``http://localhost:8080/projects/3``.
    root : Path
        The workspace's root.
    images : str
        The folder of the images, as `helpers.parameters.find_images` takes it.
    **reading : str
        Options of `helpers.labels.read_export`: they decide which images have a label.

    Returns
    -------
    Path
        The export.

    Raises
    ------
    Problem
        It is no such address, the folder does not exist, or as `connect`, `pull_export` and `read_export` raise.
    """
    project = parse_project_url(address)
    if not project:
        raise Problem(
            f"{address!r} is not the address of a project.", advice="It looks like http://localhost:8080/projects/3"
        )
    folder = find_images(images, root)
    server = connect(read_settings(root), project[0])
    export = pull_export(server, project[1], root / EXTRA)
    fetch_images(server, read_export(export, **reading), folder)
    return export


def pull_export(server: Server, project: int, folder: Path) -> Path:
    """Save all tasks of a project as a file in a folder, in JSON: those without labels, too.

    Returns
    -------
    Path
        ``project-<number>-<12 digits of its SHA-256>.json``: each state of the project is kept, and none twice.

    Raises
    ------
    Problem
        There is no such project, with those that there are; or the answer is no export.
    """
    projects = list_projects(server)
    if project not in projects:
        raise Problem(
            f"Label Studio at {server.url} has no project {project}, or not for this key.",
            [f"{number}: {title}" for number, title in projects.items()],
        )
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
        part = Path(temporary) / "export.json"
        everything = {"exportType": "JSON", "download_all_tasks": "true"}
        with (
            server.stream("GET", f"/api/projects/{project}/export", params=everything) as response,
            part.open("wb") as file,
        ):
            for piece in pieces(response, LARGEST_EXPORT):
                digest.update(piece)
                file.write(piece)
        _check_export(part)
        return part.replace(folder / f"project-{project}-{digest.hexdigest()[:12]}.json")


def _check_export(file: Path) -> None:
    try:
        tasks = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise Problem(f"The export came damaged: {error}.", advice="Try again.") from None
    fields = {"data", "annotations"}
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and fields <= task.keys() for task in tasks):
        raise Problem("Label Studio answered with something other than an export.", [str(tasks)[:200]])


def fetch_images(server: Server, labels: pd.DataFrame, images: Path) -> int:
    """Fetch the labelled images that are not on disk from the server that has them.

    An upload goes to ``<project>/<name on the server>`` below the folder `images`, where `ImageFiles` finds it by its
    exact name; a local file of the server goes to the path that it has there. An image that cannot be fetched is
    logged, and left for `helpers.merge.plan.plan_merge` to report.

    Returns
    -------
    int
        How many were fetched.
    """
    known = ImageFiles(images)
    labelled = labels[labels["label"].notna()]
    pairs = zip(labelled["image"], labelled["file"], strict=True)
    missing = [(image, file) for image, file in pairs if len(known.find(image, file)) != 1]

    def fetch(item: tuple[str, str]) -> bool:
        try:
            _fetch_image(server, *item, images)
        except (Problem, *UNREADABLE) as error:
            logger.warning("%.200s was not fetched: %s", item[0], error)
            return False
        return True

    return sum(map_answers(fetch, missing, "Fetching images"))


def _fetch_image(server: Server, image: str, file: str, images: Path) -> None:
    upload = UPLOAD.search(image)
    path = PurePosixPath(upload[1] or ".", file) if upload else PurePosixPath(file)
    if not all(map(is_safe, path.parts)) or path.suffix.lower() not in SUFFIXES:
        raise ValueError("its name is not safe, or not that of an image")
    content = server.download(server.path_of(image))
    with open_image(BytesIO(content)) as picture:
        picture.verify()
    target = images / path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{hashlib.sha256(image.encode()).hexdigest()[:16]}.part")
    part.write_bytes(content)
    part.replace(target)
