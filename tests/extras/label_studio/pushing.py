"""What the tests of pushing share: sending pictures as the notebook does, and people who label them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx2
import pytest

from extras.label_studio import tasks
from extras.label_studio.client import NotFound, Server
from extras.label_studio.projects import find_project
from extras.label_studio.push import push_queue
from extras.label_studio.queue import order_queue, read_images
from helpers.pipeline.input import Input

CLASSES = ["ham & eggs", '"<b>"', "7"]


def push(
    server: Server,
    title: str,
    folder: Path,
    version: str = "one",
    label: str = CLASSES[0],
    blind: str = "",
    random_share: float = 0,
    scenes: Mapping[str, str] = {},
) -> str:
    """Send what is new, as the notebook does; model "one" is the more certain the larger a picture's number is."""
    project = find_project(server, 0, title, CLASSES)
    pictures = read_images(folder, folder, Input(16))
    present = tasks.read_tasks(server, project, version, folder)
    states = tasks.tell_states(pictures, present, pictures[:0])
    waiting = pictures[states.isin(tasks.WAITING)]
    certain = waiting["file"].str.extract(r"(\d+)", expand=False).astype(float) / 10
    confidence = certain if version == "one" else 1 - certain
    queue = order_queue(confidence, [], random_share).join(waiting["file"])
    queue["label"], queue["confidence"] = label, confidence
    queue["scene"] = [scenes.get(file, "") for file in queue["file"]]
    queue["blind"] = queue["file"].isin([f"picture {number}.png" for number in blind])
    return push_queue(server, project, queue, present, folder, version)


def number_of(server: Server, title: str) -> int:
    return find_project(server, 0, title, CLASSES).number


def all_tasks(server: Server, title: str) -> list[dict]:
    asked = {"project": number_of(server, title), "fields": "all", "page_size": 100}
    found = server.ask("GET", "/api/tasks", params=asked)["tasks"]
    return sorted(found, key=lambda task: task["id"])


def pictured(task: dict) -> str:
    """The number of the picture that a task shows."""
    return task["data"]["image"].rpartition(".")[0][-1]


@contextmanager
def dying(server: Server, when: str, at: int) -> Iterator[None]:
    """The program dies at a certain request that changes something: before the server gets it, or when it answers."""
    changes = count(1)

    def die(message: httpx2.Request | httpx2.Response) -> None:
        request = message.request if isinstance(message, httpx2.Response) else message
        if request.method != "GET" and next(changes) == at:
            raise KeyboardInterrupt

    server.client.event_hooks = {when: [die]}
    with pytest.raises(KeyboardInterrupt):
        yield
    server.client.event_hooks = {}


def annotate(server: Server, task: int) -> None:
    chosen = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [CLASSES[0]]}}
    server.ask("POST", f"/api/tasks/{task}/annotations/", json={"result": [chosen], "lead_time": 1})


def label_all(server: Server, project: int, body: dict | None = None) -> list[str]:
    """Annotate what the server hands out, one after the other; which pictures that were."""
    order: list[str] = []
    while True:
        try:
            where = {"id": "next_task", "project": project}
            task = server.ask("POST", "/api/dm/actions", params=where, json=body or {})
        except NotFound:
            return order
        order.append(pictured(task))
        annotate(server, task["id"])
