"""Sending pictures again: nothing twice, what is missing, and the order of a newer model."""

import shutil

import pytest
from label_studio_server import old_and_new
from pushing import CLASSES, all_tasks, annotate, dying, label_all, number_of, pictured, push

from extras.label_studio import push as module
from extras.label_studio.fields import is_blind
from extras.label_studio.label_config import make_config

pytest_plugins = ["connected"]  # its fixtures


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

    number = number_of(server, title)
    assert label_all(server, number, {"ordering": ["tasks:data.queue"]}) == list("0123456")


@pytest.mark.label_studio
def test_what_is_queued_again_tells_the_newer_reason(server, title, folder):
    push(server, title, folder)
    annotate(server, all_tasks(server, title)[0]["id"])
    push(server, title, folder, version="two", random_share=1)

    reasons = [task["data"]["queue_reason"] for task in all_tasks(server, title)]
    assert reasons == ["least certain", *["chance"] * 6], "the first one has a label already"


@pytest.mark.label_studio
@pytest.mark.parametrize(("died", "at"), [("response", 1), ("request", 3), ("response", 3), ("response", 4)])
def test_an_interrupted_push_is_taken_up_again(server, title, folder, monkeypatch, died, at):
    monkeypatch.setattr(module, "FILES", 3)
    with dying(server, died, at):  # 1 makes the project; 2, 4, 6 upload pictures and 3, 5, 7 make tasks of them
        push(server, title, folder)

    push(server, title, folder)

    assert list(map(pictured, all_tasks(server, title))) == list("0123456")
    assert [task["data"]["queue"] for task in all_tasks(server, title)] == [round((n + 0.5) / 7, 6) for n in range(7)]
    assert all(len(task["predictions"]) == 1 for task in all_tasks(server, title))


@pytest.mark.label_studio
def test_what_was_uploaded_by_hand_is_recognised_by_content(server, title, folder):
    server.ask("POST", "/api/projects/", json={"title": title, "label_config": make_config(CLASSES)})
    number = number_of(server, title)
    by_hand = {"file": ("another name 3.png", (folder / "picture 3.png").read_bytes())}
    server.ask("POST", f"/api/projects/{number}/import", files=by_hand)

    push(server, title, folder)

    found = all_tasks(server, title)
    assert sorted(map(pictured, found)) == list("0123456")
    assert all(len(task["predictions"]) == 1 for task in found)
    assert all(is_blind(task["data"]["blind"]) is False for task in found)


@old_and_new
@pytest.mark.label_studio
def test_a_newer_model_puts_what_waits_in_its_own_order(server, title, folder):
    push(server, title, folder)
    done = all_tasks(server, title)[2]
    annotate(server, done["id"])

    for _ in range(2):
        push(server, title, folder, version="two")

    number = number_of(server, title)
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

    number = number_of(server, title)
    assert all(
        sorted(p["model_version"] for p in task["predictions"]) == ["one", "two"] for task in all_tasks(server, title)
    )
    assert server.ask("GET", f"/api/projects/{number}/")["model_version"] == "two"
    assert label_all(server, number, {"ordering": ["tasks:data.queue"]}) == list("6543210")


@pytest.mark.label_studio
def test_more_tasks_than_places_keep_their_order(server, title, folder, monkeypatch):
    monkeypatch.setattr(module, "PLACES", 3)
    push(server, title, folder)
    push(server, title, folder, version="two")

    places = {pictured(task): task["data"]["queue"] for task in all_tasks(server, title)}
    assert [places[number] for number in "6543210"] == sorted(places.values())
    assert len(set(places.values())) == 3
