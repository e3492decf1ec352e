"""The tasks of a Label Studio project: read them, and make new ones of images, with predictions, in an order.

*Label All Tasks* hands out tasks by their number, to each person another one; *Label Tasks As Displayed* follows the
order of a tab in the Data Manager. So new tasks are created in the order of the queue, and a tab is sorted by the field
`queue` of their data, which can be changed when a newer model thinks otherwise.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx2
import numpy as np
import orjson
import pandas as pd

from extras.label_studio.client import AT_A_TIME, NotFound, Server, TooLarge, list_projects
from extras.label_studio.fields import BLIND, is_blind
from extras.label_studio.label_config import Control, find_control, make_config
from helpers.hashing import HashCache
from helpers.labels.fields import QUEUE, QUEUE_REASON, QUEUED_BY
from helpers.pipeline.paths import HASHES
from helpers.problems import Problem
from helpers.progress import map_in_threads, progress_bar

TAB = "Queue"
# Label Studio takes 100 files and 250 MB in a request, a proxy before it often less.
FILES, BYTES, ROWS = 100, 50_000_000, 500
FIELDS = ["id", "data", "meta", "total_annotations", "cancelled_annotations"]
PLACES = 250  # of tasks that are queued again; more of them share places: each costs the server 60 ms
REFUSED = (".tif", ".tiff")
OPEN = ("new", "to be queued again")
WAITING = (*OPEN, "queued")


class Project(NamedTuple):
    """A project of Label Studio; its number is 0 as long as it is not created."""

    number: int
    title: str
    config: str
    control: Control


def find_project(server: Server, number: int, title: str, classes: Sequence[str]) -> Project:
    """Find a project by its number or, if that is 0, by its title; if none has the title it is still to be created."""
    projects = list_projects(server)
    wanted = f"the number {number}" if number else f"the title {title!r}"
    found = [one for one, name in projects.items() if (one == number if number else name == title)]
    can_be_made = title and not number
    if len(found) > 1 or not (found or can_be_made):
        raise Problem(
            f"{'Several projects have' if found else 'There is no project with'} {wanted} at {server.url}.",
            [f"{one}: {projects[one]}" for one in found or projects],
            "Set `project` to a number, or `title` to the title of a new project.",
        )
    if found:
        number, title = found[0], projects[found[0]]
        config = server.ask("GET", f"/api/projects/{number}/")["label_config"]
    else:
        config = make_config(classes)
    control = find_control(config, set(classes))
    if not control:
        raise Problem(
            f"The labelling configuration of {title!r} has none of the model's classes.",
            [f"the model knows: {label}" for label in classes],
            "Its `<Choices>` need these as values.",
        )
    return Project(number, title, config, control)


def describe(project: Project, classes: Sequence[str]) -> str:
    """Say which project it is, and which classes of the model cannot be chosen in it."""
    about = f"Project {project.number}, {project.title!r}" if project.number else f"A new project {project.title!r}"
    missing = [label for label in classes if label not in project.control.classes]
    return f"{about}, without: {', '.join(missing)}" if missing else f"{about}, with all classes of the model"


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


def push(server: Server, project: Project, queue: pd.DataFrame, tasks: pd.DataFrame, folder: Path, version: str) -> str:
    """Send images with their predictions, in the order of the queue; create the project if there is none.

    A task keeps the hash of its image in its ``meta``, and in its data the model that queued it. So a push that was
    interrupted can be repeated: it sends the missing ones, and each image gets the place that it would have had.

    `queue` has all images that wait, from `extras.label_studio.queue.plan_queue`, with files below `folder`; those
    ``blind`` (bool) never get a prediction. What this model has queued stays. Returns the address of the tab *Queue*.
    """
    if not project.number:
        wanted = {"title": project.title, "label_config": project.config}
        project = project._replace(number=server.ask("POST", "/api/projects/", json=wanted)["id"])
    _requeue(server, project, queue, tasks, version)
    _create_all(server, project, queue[~queue.index.isin(tasks["sha256"])], folder, version)
    _show_predictions(server, project, version)
    field = f"tasks:data.{QUEUE}"
    sorting = {"ordering": [field], "columnsDisplayType": {field: "Number"}}
    tabs = find_tabs(server, project.number, TAB) or [make_tab(server, project.number, TAB, sorting)]
    return f"{server.url}/projects/{project.number}/data?tab={tabs[0]}"


def _requeue(server: Server, project: Project, queue: pd.DataFrame, tasks: pd.DataFrame, version: str) -> None:
    """Give tasks that are there a prediction and a new place in the queue."""
    waiting = tasks[~tasks["annotated"] & ~tasks["queued"]].join(queue, on="sha256", how="inner")
    # Who got a prediction with the task has seen it: the first draw of the blind ones holds.
    waiting["blind"] = [is_blind(data.get(BLIND)) is True for data in waiting["data"]]
    predictions = []
    for row in waiting[~waiting["predicted"]].itertuples():
        predictions += [{"task": row.Index, **one} for one in _predictions(project.control, row, version)]
    for start in range(0, len(predictions), ROWS):
        batch = predictions[start : start + ROWS]
        answer = server.ask("POST", f"/api/projects/{project.number}/import/predictions", json=batch)
        if answer["created"] != len(batch):  # it leaves out predictions that it does not like, and says nothing
            raise Problem(f"Label Studio took {answer['created']} of {len(batch)} predictions.")

    untold = [is_blind(data.get(BLIND)) is None for data in waiting["data"]]
    _set_field(server, project, waiting.index[untold], BLIND, "false")
    waiting = waiting.sort_values("queue")
    places = np.arange(len(waiting)) * PLACES // max(PLACES, len(waiting))
    with progress_bar(len(waiting), "Updating tasks", "tasks") as bar:
        for _, group in waiting.groupby(places):
            _set_field(server, project, group.index, QUEUE, group["queue"].min())
            bar.update(len(group))
    told = waiting["data"].map(lambda data: data.get(QUEUE_REASON))
    for reason, group in waiting[told != waiting["reason"]].groupby("reason"):
        _set_field(server, project, group.index, QUEUE_REASON, str(reason))
    _set_field(server, project, waiting.index, QUEUED_BY, version)


def _set_field(server: Server, project: Project, tasks: pd.Index, name: str, value: float | str) -> None:
    """Set a field in the data of tasks.

    It is an action of the Data Manager, which hides it as experimental. To change each task by itself takes a server
    70 ms, and if that is done side by side, it loses count of the fields.
    """
    field = {"value_name": name, "value": value, "value_type": "String" if isinstance(value, str) else "Number"}
    for start in range(0, len(tasks), ROWS):
        chosen = {"selectedItems": {"all": False, "included": tasks[start : start + ROWS].tolist()}}
        action = {"id": "add_data_field", "project": project.number}
        server.ask("POST", "/api/dm/actions", params=action, json=chosen | field)


def _create_all(server: Server, project: Project, images: pd.DataFrame, folder: Path, version: str) -> None:
    """Create tasks in batches, which become smaller when the server, or a proxy before it, finds one too large."""
    sizes = np.array([(folder / file).stat().st_size for file in images["file"]], dtype=int)
    done, most = 0, BYTES
    with progress_bar(len(images), "Sending images") as bar:
        while done < len(images):
            together = sizes[done : done + FILES].cumsum()
            count = max(1, int((together <= most).sum()))
            try:
                _create_tasks(server, project, images[done : done + count], folder, version)
            except TooLarge as problem:
                if count == 1:
                    which = [f"{images['file'].iloc[done]} has {sizes[done]:,} bytes"]
                    raise TooLarge(problem.headline, which, problem.advice) from None
                most = int(together[count - 1]) // 2
                continue
            done += count
            bar.update(count)


def _create_tasks(server: Server, project: Project, batch: pd.DataFrame, folder: Path, version: str) -> None:
    """Upload images and create their tasks: all of them or, if that fails, none."""
    files = {str(n): (Path(file).name, (folder / file).read_bytes()) for n, file in enumerate(batch["file"])}
    contents = [hashlib.sha256(content).hexdigest() for _, content in files.values()]
    if changed := batch["file"][batch.index != contents].tolist():
        raise Problem(f"Images in {folder} have changed since they were read.", changed, "Run everything again.")
    address = f"/api/projects/{project.number}/import"
    numbers = server.ask("POST", address, params={"commit_to_project": "false"}, files=files)["file_upload_ids"]
    wanted = {"ids": orjson.dumps(numbers).decode()}
    uploads = server.ask("GET", f"/api/projects/{project.number}/file-uploads", params=wanted)
    prefix = httpx2.URL(server.url).path.rstrip("/")
    stored = {upload["id"]: f"{prefix}/data/{quote(upload['file'])}" for upload in uploads}
    new = [
        {
            "data": {
                project.control.image_key: stored[number],
                QUEUE: row.queue,
                QUEUE_REASON: row.reason,
                BLIND: row.blind,
                QUEUED_BY: version,
            },
            "meta": {"sha256": row.Index},
            "file_upload_id": number,
            "predictions": _predictions(project.control, row, version),
        }
        for number, row in zip(numbers, batch.itertuples(), strict=True)
    ]
    server.ask("POST", address, json=new)


def _show_predictions(server: Server, project: Project, version: str) -> None:
    """Let people see the predictions of this model version, if there are any."""
    address = f"/api/projects/{project.number}/"
    shown = server.ask("GET", address)["model_version"]
    if shown != version and version in server.ask("GET", f"{address}model-versions/"):
        server.ask("PATCH", address, json={"model_version": version})


def _predictions(control: Control, row: Any, version: str) -> list[dict[str, Any]]:
    """The model's prediction, or none if people shall not see it, or could not choose its class."""
    if row.blind or row.label not in control.classes:
        return []
    return [control.prediction(row.label, row.confidence, version)]


def find_tabs(server: Server, project: int, title: str) -> list[int]:
    """The numbers of the tabs of the Data Manager that have a title."""
    tabs = server.ask("GET", "/api/dm/views/", params={"project": project})
    return [tab["id"] for tab in tabs if tab["data"].get("title") == title]


def make_tab(server: Server, project: int, title: str, about: dict[str, Any]) -> int:
    """Make a tab with the columns of one that somebody opens by hand; returns its number."""
    columns = server.ask("GET", "/api/dm/columns", params={"project": project})["columns"]
    names = [f"tasks:{'data.' if column.get('parent') else ''}{column['id']}" for column in columns]
    shown = pd.DataFrame([column.get("visibility_defaults", {}) for column in columns], names)
    hidden = {place: shown.index[shown[place].eq(False)].tolist() for place in shown}
    data = {"title": title, "hiddenColumns": hidden, **about}
    return server.ask("POST", "/api/dm/views/", json={"project": project, "data": data})["id"]
