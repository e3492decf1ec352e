"""Sending pictures to a real Label Studio as tasks: once, with predictions, in the order of the queue."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from label_studio_server import old_and_new, pretend_label_studio
from PIL import Image
from servers import proxying

from helpers.decode import Input
from helpers.label_studio import tasks
from helpers.label_studio.client import NotFound, Server, connect
from helpers.label_studio.label_config import make_config
from helpers.label_studio.queue import order_queue, read_images
from helpers.label_studio.settings import Settings
from helpers.labels import read_export
from helpers.labels.fields import blind_of
from helpers.problems import Problem

CLASSES = ["ham & eggs", '"<b>"', "7"]
NUMBERS = count()


@pytest.fixture
def server(label_studio):
    return connect(Settings(_env_file=None, label_studio_url=label_studio.url, label_studio_api_key=label_studio.key))


@pytest.fixture
def title():
    """Of a project that no other test has."""
    return f"Pictures {next(NUMBERS)}"


@pytest.fixture
def folder(tmp_path):
    """Seven pictures."""
    chance = np.random.default_rng(0)
    for number in range(7):
        pixels = chance.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"picture {number}.png")
    return tmp_path


def push(
    server: Server, title: str, folder: Path, version: str = "one", label: str = CLASSES[0], blind: str = ""
) -> str:
    """Send what is new, as the notebook does; model "one" is the more certain the larger a picture's number is."""
    project = tasks.find_project(server, 0, title, CLASSES)
    pictures = read_images(folder, folder, Input(16))
    present = tasks.read_tasks(server, project, version, folder)
    states = tasks.tell_states(pictures, present, pictures[:0])
    waiting = pictures[states.isin(tasks.WAITING)]
    certain = waiting["file"].str.extract(r"(\d+)", expand=False).astype(float) / 10
    confidence = certain if version == "one" else 1 - certain
    queue = order_queue(confidence, [], random_share=0).join(waiting["file"])
    queue["label"], queue["confidence"] = label, confidence
    queue["blind"] = queue["file"].isin([f"picture {number}.png" for number in blind])
    return tasks.push(server, project, queue, present, folder, version)


def all_tasks(server: Server, title: str) -> list[dict]:
    number = tasks.find_project(server, 0, title, CLASSES).number
    found = server.ask("GET", "/api/tasks", params={"project": number, "fields": "all", "page_size": 100})["tasks"]
    return sorted(found, key=lambda task: task["id"])


def pictured(task: dict) -> str:
    """The number of the picture that a task shows."""
    return task["data"]["image"].rpartition(".")[0][-1]


@contextmanager
def dying(server: Server, when: str, at: int) -> Iterator[None]:
    """The program dies at a certain request that changes something: before the server gets it, or when it answers."""
    changes = count(1)

    def die(message: httpx.Request | httpx.Response) -> None:
        request = message.request if isinstance(message, httpx.Response) else message
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


@pytest.mark.label_studio
def test_the_least_certain_is_handed_out_first(server, title, folder):
    push(server, title, folder)

    number = tasks.find_project(server, 0, title, CLASSES).number
    assert pictured(server.ask("GET", f"/api/projects/{number}/next")) == "0"
    assert label_all(server, number) == list("0123456")


@pytest.mark.label_studio
def test_each_task_has_a_prediction_with_its_score_and_version(server, title, folder):
    push(server, title, folder)

    for task in all_tasks(server, title):
        (prediction,) = task["predictions"]
        assert prediction["result"][0]["value"] == {"choices": [CLASSES[0]]}
        assert prediction["score"] == pytest.approx(int(pictured(task)) / 10)
        assert prediction["model_version"] == "one"


@pytest.mark.label_studio
def test_the_project_that_is_made_offers_the_classes_of_the_model(server, title, folder):
    push(server, title, folder)

    number = tasks.find_project(server, 0, title, CLASSES).number
    about = server.ask("GET", f"/api/projects/{number}/")
    assert about["parsed_label_config"]["label"]["labels"] == CLASSES
    assert about["model_version"] == "one"  # whose predictions people see


@pytest.mark.label_studio
def test_who_labels_blind_never_sees_a_prediction(server, title, folder):
    push(server, title, folder, blind="25")
    push(server, title, folder, version="two", blind="36")

    for task in all_tasks(server, title):
        assert task["data"]["blind"] is (pictured(task) in "25")
        assert len(task["predictions"]) == (0 if task["data"]["blind"] else 2)


@pytest.mark.label_studio
@pytest.mark.parametrize("form", ["JSON", "JSON_MIN", "CSV", "TSV"])
def test_every_export_tells_who_labelled_blind(server, title, folder, tmp_path, form):
    push(server, title, folder, blind="25")
    for task in all_tasks(server, title):
        annotate(server, task["id"])
    number = tasks.find_project(server, 0, title, CLASSES).number
    content = server.send("GET", f"/api/projects/{number}/export", params={"exportType": form})
    (tmp_path / "export").write_bytes(content)

    table = read_export(tmp_path / "export")

    assert dict(zip(table["file"].str[-5], table["blind"], strict=True)) == {n: n in "25" for n in "0123456"}
    assert set(table["label"]) == {CLASSES[0]}


@pytest.mark.label_studio
def test_a_second_push_sends_nothing(server, title, folder):
    address = push(server, title, folder)
    before = all_tasks(server, title)

    asked = []
    server.client.event_hooks = {"request": [lambda request: asked.append(request.method)]}
    assert push(server, title, folder) == address

    assert set(asked) == {"GET"}
    assert [task["id"] for task in all_tasks(server, title)] == [task["id"] for task in before]


@pytest.mark.label_studio
def test_what_comes_later_finds_its_place_between_what_waits(server, title, folder, tmp_path_factory):
    later = tmp_path_factory.mktemp("later")
    for number in (1, 3, 5):
        shutil.move(folder / f"picture {number}.png", later)
    push(server, title, folder)
    for picture in later.iterdir():
        shutil.move(picture, folder)
    push(server, title, folder)

    number = tasks.find_project(server, 0, title, CLASSES).number
    assert label_all(server, number, {"ordering": ["tasks:data.queue"]}) == list("0123456")


@pytest.mark.label_studio
@pytest.mark.parametrize(("died", "at"), [("response", 1), ("request", 3), ("response", 3), ("response", 4)])
def test_an_interrupted_push_is_taken_up_again(server, title, folder, monkeypatch, died, at):
    monkeypatch.setattr(tasks, "FILES", 3)
    with dying(server, died, at):  # 1 makes the project; 2, 4, 6 upload pictures and 3, 5, 7 make tasks of them
        push(server, title, folder)

    push(server, title, folder)

    assert list(map(pictured, all_tasks(server, title))) == list("0123456")
    assert [task["data"]["queue"] for task in all_tasks(server, title)] == [round((n + 0.5) / 7, 6) for n in range(7)]
    assert all(len(task["predictions"]) == 1 for task in all_tasks(server, title))


@pytest.mark.label_studio
def test_pictures_of_equal_content_are_one_task(server, title, folder):
    shutil.copy(folder / "picture 3.png", folder / "same 3.png")

    push(server, title, folder)

    assert len(all_tasks(server, title)) == 7


@pytest.mark.label_studio
def test_a_picture_that_changes_on_the_way_is_not_sent(server, title, folder, monkeypatch):
    read = tasks.read_tasks
    (folder / "new").write_bytes((folder / "picture 1.png").read_bytes())

    def replace_a_picture_meanwhile(*arguments):
        (folder / "new").replace(folder / "picture 2.png")
        return read(*arguments)

    monkeypatch.setattr(tasks, "read_tasks", replace_a_picture_meanwhile)
    with pytest.raises(Problem, match="changed") as problem:
        push(server, title, folder)

    assert problem.value.details == ["picture 2.png"]
    assert all_tasks(server, title) == []


@pytest.mark.label_studio
def test_what_was_uploaded_by_hand_is_recognised_by_content(server, title, folder):
    server.ask("POST", "/api/projects/", json={"title": title, "label_config": make_config(CLASSES)})
    number = tasks.find_project(server, 0, title, CLASSES).number
    by_hand = {"file": ("another name 3.png", (folder / "picture 3.png").read_bytes())}
    server.ask("POST", f"/api/projects/{number}/import", files=by_hand)

    push(server, title, folder)

    found = all_tasks(server, title)
    assert sorted(map(pictured, found)) == list("0123456")
    assert all(len(task["predictions"]) == 1 for task in found)
    assert all(blind_of(task["data"]) is False for task in found)


@old_and_new
@pytest.mark.label_studio
def test_a_newer_model_puts_what_waits_in_its_own_order(server, title, folder):
    push(server, title, folder)
    done = all_tasks(server, title)[2]
    annotate(server, done["id"])

    for _ in range(2):
        push(server, title, folder, version="two")

    number = tasks.find_project(server, 0, title, CLASSES).number
    versions = {
        task["id"]: sorted(p["model_version"] for p in task["predictions"]) for task in all_tasks(server, title)
    }
    assert versions.pop(done["id"]) == ["one"]
    assert list(versions.values()) == [["one", "two"]] * 6
    assert server.ask("GET", f"/api/projects/{number}/")["model_version"] == "two"
    tab = server.ask("GET", "/api/dm/views/", params={"project": number})[0]["data"]
    assert label_all(server, number, {"ordering": tab["ordering"]}) == list("654310")


@pytest.mark.label_studio
@pytest.mark.parametrize(
    ("died", "at"), [("response", 1), ("response", 2), ("request", 8), ("request", 9), ("request", 10)]
)
def test_an_interrupted_update_is_taken_up_again(server, title, folder, died, at):
    push(server, title, folder)
    with dying(server, died, at):  # 1 predictions, 2 to 8 places in the queue, 9 the model that queues, 10 shows
        push(server, title, folder, version="two")
    push(server, title, folder, version="two")

    number = tasks.find_project(server, 0, title, CLASSES).number
    assert all(
        sorted(p["model_version"] for p in task["predictions"]) == ["one", "two"] for task in all_tasks(server, title)
    )
    assert server.ask("GET", f"/api/projects/{number}/")["model_version"] == "two"
    assert label_all(server, number, {"ordering": ["tasks:data.queue"]}) == list("6543210")


@pytest.mark.label_studio
def test_a_class_that_cannot_be_chosen_is_never_sent(server, title, folder):
    server.ask("POST", "/api/projects/", json={"title": title, "label_config": make_config(CLASSES[:2])})

    push(server, title, folder, label="7")

    assert all(task["predictions"] == [] for task in all_tasks(server, title))
    assert "without: 7" in tasks.describe(tasks.find_project(server, 0, title, CLASSES), CLASSES)


@pytest.mark.label_studio
def test_pictures_have_states(server, title, folder):
    with Image.open(folder / "picture 0.png") as image:
        image.save(folder / "picture 8.tif")
    push(server, title, folder)
    annotate(server, all_tasks(server, title)[1]["id"])
    shutil.copy(folder / "picture 0.png", folder / "copy of 0.png")
    with Image.open(folder / "picture 0.png") as image:
        image.rotate(90).save(folder / "picture 9.png")

    pictures = read_images(folder, folder, Input(16)).sort_values("file")
    project = tasks.find_project(server, 0, title, CLASSES)
    trained = pictures[pictures["file"] == "picture 6.png"]
    states = tasks.tell_states(pictures, tasks.read_tasks(server, project, "one", folder), trained)
    newer = tasks.tell_states(pictures, tasks.read_tasks(server, project, "two", folder), trained)

    queued = ["queued", "annotated", "queued", "queued", "queued", "queued", "in the training set"]
    assert list(states) == [*queued, "refused", "new"]
    assert list(newer) == [*pd.Series(queued).replace("queued", "to be queued again"), "refused", "new"]


@pytest.mark.label_studio
def test_a_proxy_that_takes_small_requests_only_gets_small_ones(label_studio, title, folder, tmp_path_factory):
    pixels = np.random.default_rng(1).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture 8.png")  # 7 KB, and the least urgent
    nginx = tmp_path_factory.mktemp("nginx")
    with (
        pretend_label_studio() as neighbour,
        proxying(nginx, largest="3k", ls=label_studio.url, other=neighbour.url) as url,
    ):
        server = connect(Settings(_env_file=None, label_studio_url=f"{url}/ls", label_studio_api_key=label_studio.key))
        with pytest.raises(Problem, match="client_max_body_size") as problem:
            push(server, title, folder)
        found = all_tasks(server, title)
        images = [server.send("GET", server.path_of(task["data"]["image"])) for task in found]
        (folder / "picture 8.png").unlink()
        push(server, title, folder)

        assert [task["id"] for task in all_tasks(server, title)] == [task["id"] for task in found]
    assert [line.startswith("picture 8.png") for line in problem.value.details] == [True]
    assert images == [(folder / f"picture {number}.png").read_bytes() for number in range(7)]
    assert all(task["data"]["image"].startswith("/ls/data/upload/") for task in found)
    assert neighbour.requests == []


@pytest.mark.label_studio
def test_more_tasks_than_places_keep_their_order(server, title, folder, monkeypatch):
    monkeypatch.setattr(tasks, "PLACES", 3)
    push(server, title, folder)
    push(server, title, folder, version="two")

    places = {pictured(task): task["data"]["queue"] for task in all_tasks(server, title)}
    assert [places[number] for number in "6543210"] == sorted(places.values())
    assert len(set(places.values())) == 3
