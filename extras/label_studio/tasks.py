"""The tasks of a project: read them, and tell of each image how far it is."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from extras.label_studio.client import AT_A_TIME, NotFound, Server
from extras.label_studio.projects import Project
from helpers.hashing import HashCache
from helpers.labels.fields import QUEUED_BY
from helpers.pipeline.paths import HASHES
from helpers.progress import map_in_threads

ROWS = 500  # tasks of a request
FIELDS = ["id", "data", "meta", "total_annotations", "cancelled_annotations"]
REFUSED = (".tif", ".tiff")
OPEN = ("new", "to be queued again")
WAITING = (*OPEN, "queued")


def read_tasks(server: Server, project: Project, version: str, root: Path) -> pd.DataFrame:
    """Read the tasks of a project. Images of unknown content are downloaded to be hashed: those that were not pushed.
    The cache of the workspace at `root` keeps their hashes, even if this is interrupted.

    Each task has its `FIELDS`, the ``sha256`` of its image, empty if that cannot be had, and whether it is
    ``annotated`` (or skipped), and ``predicted`` and ``queued`` by this model version.
    """
    found = list(_list_tasks(server, project, [])) if project.number else []
    field = {"filter": "filter:tasks:predictions_model_versions", "operator": "contains", "type": "List"}
    ours = _list_tasks(server, project, [{**field, "value": [version]}]) if found else []  # text would be taken apart
    tasks = pd.DataFrame(found, columns=FIELDS).set_index("id")
    tasks["sha256"] = [str(meta.get("sha256", "")) if isinstance(meta, dict) else "" for meta in tasks["meta"]]
    tasks["annotated"] = tasks["total_annotations"] + tasks["cancelled_annotations"] > 0
    tasks["predicted"] = tasks.index.isin([task["id"] for task in ours])
    tasks["queued"] = tasks["data"].map(lambda data: data.get(QUEUED_BY) == version).astype(bool)
    unknown = tasks.loc[tasks["sha256"] == "", "data"]
    cache = HashCache(root / HASHES)

    def hash_image(data: dict[str, Any]) -> str:
        try:
            path = server.path_of(str(data.get(project.control.image_key)))
            address = f"{server.url}{path}"
            sha256 = cache.get(address) or hashlib.sha256(server.send("GET", path)).hexdigest()
        except (NotFound, ValueError):  # any other failure ends this: unknown images would be sent again
            return ""
        if path.startswith("/data/upload/"):  # a file of another kind may change
            cache.put(address, sha256)
        return sha256

    try:
        hashes = map_in_threads(hash_image, unknown, "Hashing images of Label Studio", AT_A_TIME)
    finally:
        cache.save()
    tasks.loc[unknown.index, "sha256"] = hashes
    return tasks


def _list_tasks(server: Server, project: Project, filters: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    query = orjson.dumps({"filters": {"conjunction": "and", "items": filters}}).decode()
    asked = {"project": project.number, "include": ",".join(FIELDS), "query": query, "resolve_uri": "false"}
    read, page, total = 0, 1, 1
    while read < total:
        answer = server.ask("GET", "/api/tasks", params=asked | {"page": page, "page_size": ROWS})
        yield from answer["tasks"]
        read, page, total = read + len(answer["tasks"]), page + 1, answer["total"]


def tell_states(images: pd.DataFrame, tasks: pd.DataFrame, trained: pd.DataFrame) -> pd.Series:
    """Tell of each image of a folder how far it is. Content alone decides: names do not count.

    `trained` are the images of the training set; both tables are from `extras.label_studio.queue.read_images`. Images
    that are skipped are ``annotated``, and ``refused`` are TIFF files, which Label Studio does not take.
    """
    known = tasks.groupby("sha256")[["annotated", "queued"]].any().reindex(images.index, fill_value=False)
    tests: dict[str, Any] = {
        "in the training set": images.index.isin(trained.index),
        "annotated": known["annotated"],
        "queued": known["queued"],
        "to be queued again": images.index.isin(tasks["sha256"]),
        "refused": images["file"].str.lower().str.endswith(REFUSED),
    }
    states = np.select(list(tests.values()), list(tests), "new")
    return pd.Series(states, images.index, dtype=object, name="state")
