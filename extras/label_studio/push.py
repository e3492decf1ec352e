"""Push images to Label Studio: as tasks with predictions, in an order, which a newer model may change.

*Label All Tasks* hands out tasks by their number, to each person another one; *Label Tasks As Displayed* follows the
order of a tab in the Data Manager. So new tasks are created in the order of the queue, and a tab is sorted by the field
`queue` of their data, which can be changed when a newer model thinks otherwise.
"""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import orjson
import pandas as pd

from extras.label_studio.client import Server, TooLarge
from extras.label_studio.fields import BLIND, is_blind
from extras.label_studio.label_config import Control
from extras.label_studio.projects import Project
from extras.label_studio.tabs import find_tabs, make_tab
from extras.label_studio.tasks import ROWS
from helpers.labels.fields import QUEUE, QUEUE_REASON, QUEUED_BY, SCENE
from helpers.problems import Problem
from helpers.progress import progress_bar

TAB = "Queue"
FILES, BYTES = 100, 50_000_000  # of a request: Label Studio takes 250 MB, a proxy before it often less
PLACES = 250  # of tasks that are queued again; more of them share places: each costs the server 60 ms


def push_queue(
    server: Server, project: Project, queue: pd.DataFrame, tasks: pd.DataFrame, folder: Path, version: str
) -> str:
    """Send images with their predictions, in the order of the queue; create the project if there is none.

    A task keeps the hash of its image in its ``meta``, and in its data the model that queued it. So a push that was
    interrupted can be repeated: it sends the missing ones, and each image gets the place that it would have had.

    `queue` has all images that wait, from `extras.label_studio.queue.plan_queue`, with files below `folder` and the
    ``scene`` of each, empty if it has none; those ``blind`` (bool) never get a prediction. What this model has queued
    stays. Returns the address of the tab *Queue*.
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
    _add_predictions(server, project, waiting[~waiting["predicted"]], version)
    untold = [is_blind(data.get(BLIND)) is None for data in waiting["data"]]
    set_field(server, project, waiting.index[untold], BLIND, "false")
    waiting = waiting.sort_values("queue")
    places = np.arange(len(waiting)) * PLACES // max(PLACES, len(waiting))
    with progress_bar(len(waiting), "Updating tasks", "tasks") as bar:
        for _, group in waiting.groupby(places):
            set_field(server, project, group.index, QUEUE, group["queue"].min())
            bar.update(len(group))
    told = waiting["data"].map(lambda data: data.get(QUEUE_REASON))
    for reason, group in waiting[told != waiting["reason"]].groupby("reason"):
        set_field(server, project, group.index, QUEUE_REASON, str(reason))
    set_field(server, project, waiting.index, QUEUED_BY, version)


def _add_predictions(server: Server, project: Project, tasks: pd.DataFrame, version: str) -> None:
    predictions = []
    for row in tasks.itertuples():
        predictions += [{"task": row.Index, **one} for one in _predictions(project.control, row, version)]
    for start in range(0, len(predictions), ROWS):
        batch = predictions[start : start + ROWS]
        answer = server.ask("POST", f"/api/projects/{project.number}/import/predictions", json=batch)
        if answer["created"] != len(batch):  # it leaves out predictions that it does not like, and says nothing
            raise Problem(f"Label Studio took {answer['created']} of {len(batch)} predictions.")


def set_field(server: Server, project: Project, tasks: pd.Index, name: str, value: float | str) -> None:
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
    prefix = urlsplit(server.url).path
    stored = {upload["id"]: f"{prefix}/data/{quote(upload['file'])}" for upload in uploads}
    new = [
        {
            "data": {
                project.control.image_key: stored[number],
                QUEUE: row.queue,
                QUEUE_REASON: row.reason,
                BLIND: row.blind,
                QUEUED_BY: version,
                **({SCENE: row.scene} if row.scene else {}),
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
