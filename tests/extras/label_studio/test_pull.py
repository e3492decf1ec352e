"""Pulling an export and images from Label Studio: a real one, and one that means no good."""

import json
from io import BytesIO
from itertools import repeat
from pathlib import Path
from threading import Event

import httpx2
import numpy as np
import pandas as pd
import pytest
from label_studio_server import Answer
from PIL import Image
from servers import trickle

from extras.label_studio import pull
from extras.label_studio.client import Server
from extras.label_studio.label_config import make_config
from extras.label_studio.pull import fetch_images, pull_export, pull_round
from helpers.labels.consensus import read_export
from helpers.merge.image_files import ImageFiles
from helpers.problems import Problem

pytest_plugins = ["connected"]  # its fixtures

CLASSES = ["cat", "dog"]
CHOSEN = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["cat"]}}


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture
def hostile(stand_in, pretended) -> Server:
    pretended.answer("/api/projects", {"results": [{"id": 1, "title": "Cats"}]})
    return stand_in


def make_project(server: Server, title: str, files: dict[str, bytes]) -> int:
    """A project with one task for each file, as somebody makes it who uploads by hand."""
    wanted = {"title": title, "label_config": make_config(CLASSES)}
    number = server.ask("POST", "/api/projects/", json=wanted)["id"]
    uploads = {str(n): item for n, item in enumerate(files.items())}
    server.ask("POST", f"/api/projects/{number}/import", files=uploads)
    return number


def annotate(server: Server, project: int, label: str) -> None:
    """Label the next task."""
    task = server.ask("GET", f"/api/projects/{project}/next")["id"]
    chosen = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    server.ask("POST", f"/api/tasks/{task}/annotations/", json={"result": [chosen], "lead_time": 1})


def exported(*images: str) -> pd.DataFrame:
    """What an export says of images that are all labelled."""
    return pd.DataFrame({"image": images, "file": [image.rpartition("/")[2] for image in images], "label": "cat"})


@pytest.mark.label_studio
def test_each_state_of_a_project_is_kept_once(server, tmp_path):
    project = make_project(server, "States", {"a.png": picture(1), "b.png": picture(2)})
    annotate(server, project, "cat")

    first, labels = pull_export(server, project, tmp_path / "exports")
    again, _ = pull_export(server, project, tmp_path / "exports")
    annotate(server, project, "dog")
    second, _ = pull_export(server, project, tmp_path / "exports")

    assert first == again
    assert sorted((tmp_path / "exports").iterdir()) == sorted([first, second])
    assert first.name.startswith(f"project-{project}-")
    assert read_export(first)["label"].tolist() == labels["label"].tolist() == ["cat", None]
    assert read_export(second)["label"].tolist() == ["cat", "dog"]


def test_a_draft_that_grows_older_makes_no_new_file(hostile, pretended, tmp_path):
    task = {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-cat.png"}}
    task["annotations"] = [{"result": [CHOSEN], "completed_by": 1}]
    pulled = []
    for age in ("11 minutes", "12 minutes"):
        content = json.dumps([task | {"drafts": [{"created_ago": age, "result": [CHOSEN]}]}]).encode()
        pretended.answers["/api/projects/1/export"] = lambda _, content=content: Answer(body=content)
        export, _ = pull_export(hostile, 1, tmp_path)
        assert export.read_bytes() == content, "these are the bytes whose hash is recorded"
        pulled.append(export)
    assert list(tmp_path.iterdir()) == [pulled[0]] == [pulled[1]]

    task["annotations"] = [{"result": [CHOSEN], "was_cancelled": True}]
    pretended.answer("/api/projects/1/export", [task])
    export, labels = pull_export(hostile, 1, tmp_path)
    assert labels["status"].tolist() == ["skipped"]
    assert sorted(tmp_path.iterdir()) == sorted([export, pulled[0]])


@pytest.mark.label_studio
def test_a_project_that_is_not_there_is_a_problem_that_lists_those_that_are(server, tmp_path):
    project = make_project(server, "The only one of this name", {"a.png": picture(1)})

    with pytest.raises(Problem, match="has no project 999") as problem:
        pull_export(server, 999, tmp_path)

    assert f"{project}: The only one of this name" in problem.value.details
    assert list(tmp_path.iterdir()) == []


@pytest.mark.label_studio
def test_images_that_are_not_on_disk_are_fetched(server, tmp_path):
    files = {"a.png": picture(1), "mars rover (1).png": picture(2), "übermut.png": picture(3)}
    project = make_project(server, "Images", files)
    for _ in files:
        annotate(server, project, "cat")
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(files["a.png"])
    _, labels = pull_export(server, project, tmp_path)

    fetch_images(server, labels, images)
    asked: list[httpx2.Request] = []
    server.client.event_hooks = {"request": [asked.append]}
    fetch_images(server, labels, images)

    assert asked == []
    known = ImageFiles(images)
    for image, file, name in zip(labels["image"], labels["file"], files, strict=True):
        (found,) = known.find(image, file)
        assert Path(found).read_bytes() == files[name]


@pytest.mark.label_studio
def test_an_image_that_several_files_could_be_is_fetched(server, tmp_path):
    project = make_project(server, "Ambiguous", {"a.png": picture(1)})
    annotate(server, project, "cat")
    for number, folder in enumerate(("one", "two"), start=4):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(picture(number))
    _, labels = pull_export(server, project, tmp_path / "exports")

    fetch_images(server, labels, tmp_path)

    (found,) = ImageFiles(tmp_path).find(labels["image"][0], labels["file"][0])
    assert Path(found).read_bytes() == picture(1)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer(body=b'{"data": []}'), "something other than an export"),
        (Answer(body=b'[{"data": {}}]'), "something other than an export"),
        (Answer(body=b'[{"data": {'), "damaged"),
        (Answer(body=b"[", headers={"Content-Length": "100"}), "does not answer"),
        (Answer(500, b'{"detail": "out of memory"}'), "out of memory"),
    ],
)
def test_what_is_no_export_is_not_kept(hostile, pretended, tmp_path, answer, problem):
    pretended.answers["/api/projects/1/export"] = lambda _: answer

    with pytest.raises(Problem, match=problem):
        pull_export(hostile, 1, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_round_is_pulled_by_the_address_of_its_project(hostile, pretended, tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")
    (tmp_path / "images").mkdir()
    task = {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-cat.png"}}
    task["annotations"] = [{"result": [CHOSEN], "completed_by": 1}]
    pretended.answer("/api/projects/1/export", [task])
    pretended.answers["/data/upload/1/0a1b2c3d-cat.png"] = lambda _: Answer(body=picture(1))

    export = pull_round(f"{pretended.url}/projects/1/data?tab=2", tmp_path, "images", label_control="label")

    assert export.parent == tmp_path / "extra-data"
    assert json.loads(export.read_bytes()) == [task]
    assert (tmp_path / "images/1/0a1b2c3d-cat.png").read_bytes() == picture(1)


def test_a_local_file_of_the_server_keeps_its_path(hostile, pretended, tmp_path):
    pretended.answers["/data/local-files/"] = lambda _: Answer(body=picture(1))
    labels = exported("/data/local-files/?d=photos/2026/mars%201.png")
    labels["file"] = ["photos/2026/mars 1.png"]

    fetch_images(hostile, labels, tmp_path)

    found = ImageFiles(tmp_path).find(labels["image"][0], labels["file"][0])
    assert found == [str(tmp_path / "photos" / "2026" / "mars 1.png")]


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/1/..%2f..%2fevil.png",
        "/data/upload/1/../../evil.png",
        "/data/local-files/?d=../evil.png",
        "/data/local-files/?d=/etc/evil.png",
        "/data/upload/1/evil.py",
        "http://example.com/evil.png",
        "s3://bucket/evil.png",
        "data:image/png;base64,AAAA",
    ],
)
def test_a_hostile_reference_writes_nothing(hostile, pretended, tmp_path, image):
    pretended.answers["/data/local-files/"] = lambda _: Answer(body=picture(1))
    (tmp_path / "export.json").write_text(
        json.dumps([{"id": 1, "data": {"image": image}, "annotations": [{"result": [CHOSEN], "completed_by": 1}]}])
    )
    labels = read_export(tmp_path / "export.json")
    assert labels["label"].tolist() == ["cat"]
    images = tmp_path / "below" / "images"

    fetch_images(hostile, labels, images)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "export.json"]


def test_a_server_that_dies_is_the_one_problem_and_the_next_pull_goes_on(hostile, pretended, tmp_path, caplog):
    images = [f"/data/upload/1/0a1b2c3d-{number}.png" for number in range(40)]
    back = Event()

    def answer(_: str) -> Answer:
        if not back.is_set() and len(pretended.requests) > 10:
            raise ConnectionError("killed")
        return Answer(body=picture(1))

    for path in (*images, "/api/current-user/whoami"):
        pretended.answers[path] = answer

    with pytest.raises(Problem, match=r"stopped answering after \d+ of 40 images") as problem:
        fetch_images(hostile, exported(*images), tmp_path)

    there = len(list(tmp_path.rglob("*.png")))
    assert 0 < there < 40
    assert len(str(problem.value).splitlines()) < 5
    assert "was not fetched" not in caplog.text
    back.set()
    pretended.requests.clear()
    fetch_images(hostile, exported(*images), tmp_path)
    assert len(list(tmp_path.rglob("*.png"))) == 40
    assert len([1 for path, _ in pretended.requests if path in images]) == 40 - there


def test_an_image_that_trickles_ends_and_the_others_are_fetched(hostile, pretended, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(pull, "FETCHING", 0.5)
    pretended.answers["/data/upload/1/0a1b2c3d-cat.png"] = lambda _: Answer(body=trickle(picture(1)))
    pretended.answers["/data/upload/1/0a1b2c3e-dog.png"] = lambda _: Answer(body=picture(2))
    labels = exported("/data/upload/1/0a1b2c3d-cat.png", "/data/upload/1/0a1b2c3e-dog.png")

    fetch_images(hostile, labels, tmp_path)

    assert [path.name for path in (tmp_path / "1").iterdir()] == ["0a1b2c3e-dog.png"]
    assert "0a1b2c3d-cat.png was not fetched" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>"),
        Answer(body=picture(1)[:200]),
        Answer(body=picture(1), headers={"Content-Length": "100000"}),
        Answer(body=repeat(b" " * (1 << 20))),
        Answer(302, headers={"Location": "http://example.com/evil.png"}),
        Answer(404),
    ],
)
def test_what_is_no_picture_is_not_kept(hostile, pretended, tmp_path, caplog, monkeypatch, answer):
    monkeypatch.setattr(pull, "LARGEST_IMAGE", 1 << 22)
    pretended.answers["/data/upload/1/0a1b2c3d-cat.png"] = lambda _: answer
    pretended.answers["/data/upload/1/0a1b2c3e-dog.png"] = lambda _: Answer(body=picture(2))
    labels = exported("/data/upload/1/0a1b2c3d-cat.png", "/data/upload/1/0a1b2c3e-dog.png")

    fetch_images(hostile, labels, tmp_path)

    assert [path.name for path in (tmp_path / "1").iterdir()] == ["0a1b2c3e-dog.png"]
    assert "0a1b2c3d-cat.png was not fetched" in caplog.text
