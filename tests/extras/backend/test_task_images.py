"""The images of tasks: from disk by their names, else from Label Studio, and from nowhere else."""

import logging
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat, takewhile
from threading import Event
from typing import Any

import numpy as np
from backends import ask, config, labels, upload
from label_studio_server import KEY, Answer
from PIL import Image
from servers import trickle, wait_until

from extras.backend import serving, task_images
from extras.backend.settings import BackendSettings
from extras.backend.task_images import TaskImages
from helpers.pipeline.input import Input

pytest_plugins = ["served", "connected"]  # their fixtures


def test_what_cannot_be_read_is_an_error_and_logged_and_the_others_get_their_predictions(serve, root, names, caplog):
    (root / "extra-data/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    Image.new("1", (10_000, 10_000)).save(root / "extra-data/bomb.png")
    os.mkfifo(root / "extra-data/pipe.png")
    bad: list[Any] = [upload("broken.png"), upload("bomb.png"), upload("pipe.png"), upload("nowhere.png")]
    bad += [
        "s3://bucket/lost.png",
        "http://10.0.0.1/a.png",
        "a\nERROR: b\r.png",
        "\0",
        "",
        "/" * 5000,
        7,
        None,
        {"a": 1},
    ]
    backend, good = serve(), [upload(name) for name in names[:2]]
    with caplog.at_level(logging.WARNING):
        results = ask(backend, [good[0], *bad, good[1]])
    assert labels(results) == [labels(ask(backend, good))[0], *[None] * len(bad), labels(ask(backend, good))[1]]
    # Label Studio stores nothing without a `result`, so it asks again; an empty one would count as done.
    assert [set(result) for result in results[1:-1]] == [{"error"}] * len(bad)
    assert "no file of that name" in results[4]["error"]
    assert len(caplog.messages) == len(bad)
    assert not any("\n" in message or "\r" in message for message in caplog.messages)
    assert [len(message) < 1000 for message in caplog.messages] == [True] * len(bad)


def test_a_task_without_the_image_gets_no_prediction(backend):
    body = {"tasks": [{"id": 1, "data": {}}], "label_config": config()}
    results = backend.post("/predict", json=body).json()["results"]
    assert labels(results) == [None]


def test_no_path_leaves_the_picture_folder(serve, root, names):
    outside, inside = root / "secret.png", root / "extra-data"
    (inside / names[0]).rename(outside)
    (inside / "link.png").symlink_to(outside)
    (inside / "folder").symlink_to(root)
    paths = ["../secret.png", str(outside), "folder/secret.png", "..%2Fsecret.png", "link.png"]
    images = [f"/data/local-files/?d={path}" for path in paths] + [upload("link.png"), f"file://{outside}"]
    assert set(labels(ask(serve(), images))) == {None}


def test_a_new_file_is_found_without_a_restart(serve, root, names):
    backend = serve()
    assert labels(ask(backend, [upload("later.png")])) == [None]
    shutil.copy(root / "extra-data" / names[0], root / "extra-data/later.png")
    until = time.monotonic() + 20
    while labels(ask(backend, [upload("later.png")])) == [None]:
        assert time.monotonic() < until, "the new file is not found"


def test_files_of_one_name_are_told_apart_by_their_content(serve, root, names):
    folder = root / "extra-data"
    for sub, name in (("a", names[0]), ("b", names[0])):
        (folder / sub).mkdir()
        shutil.copy(folder / name, folder / sub / "same.png")
        shutil.copy(folder / name, folder / sub / "different.png")
    Image.new("L", (8, 8)).save(folder / "b/different.png")
    backend = serve()
    assert labels(ask(backend, [upload("same.png"), upload("different.png")])) == [
        *labels(ask(backend, [upload(names[0])])),
        None,
    ]


def test_pictures_that_are_not_on_disk_are_fetched_from_label_studio(backend, serve, root, names, pretended):
    there = labels(ask(backend, [upload(name) for name in names[:20]]))
    for name in names[:20]:
        content = (root / "extra-data" / name).read_bytes()
        pretended.answers[upload(name)] = lambda _, content=content: Answer(body=content)
    shutil.rmtree(root / "extra-data")
    elsewhere = serve(label_studio_url=pretended.url, label_studio_api_key=KEY)
    images = [upload(name) for name in names[:19]] + [f"{pretended.url}{upload(names[19])}"]
    assert labels(ask(elsewhere, images)) == there
    fetched = [request for request in pretended.requests if request[0].startswith("/data/")]
    assert sorted(fetched) == sorted((upload(name), f"Token {KEY}") for name in names[:20])


def test_nothing_but_pictures_of_the_configured_server_is_asked_for(serve, root, names, pretended, monkeypatch, caplog):
    monkeypatch.setattr(task_images, "LARGEST_IMAGE", 1 << 19)
    redirected, huge, missing = upload("redirected.png"), upload("huge.png"), upload("missing.png")
    pretended.answers[redirected] = lambda _: Answer(302, headers={"Location": f"{pretended.url}{upload(names[0])}"})
    pretended.answers[huge] = lambda _: Answer(body=repeat(bytes(1 << 16)))
    picture = (root / "extra-data" / names[0]).read_bytes()
    for path in (upload(names[0]), "/api/users/1.png", "/api/users/2.png"):
        pretended.answers[path] = lambda _: Answer(body=picture)
    other = pretended.url.replace("127.0.0.1", "localhost")
    refused = [
        "/api/users/1.png",
        "/data/../api/users/2.png",
        f"{other}{upload(names[0])}",
        "//evil.example/data/a.png",
    ]
    refused += [f"{pretended.url}@evil.example/data/a.png", "ftp://127.0.0.1/data/a.png", "s3://bucket/data/a.png"]
    backend = serve(label_studio_url=pretended.url, label_studio_api_key=KEY, backend_images="none")
    assert set(labels(ask(backend, [*refused, redirected, huge, missing]))) == {None}
    connecting = {"/api/version", "/api/current-user/whoami"}
    assert {path for path, _ in pretended.requests} == {*connecting, redirected, huge, missing}
    assert KEY not in caplog.text


def test_a_label_studio_that_is_down_costs_a_prediction_but_not_the_others(serve, names):
    backend = serve(label_studio_url="http://127.0.0.1:9", label_studio_api_key=KEY)
    assert [label is None for label in labels(ask(backend, [upload("lost.png"), upload(names[0])]))] == [True, False]


def test_the_reason_for_lost_images_stays_at_versions(serve, root, names):
    backend = serve()
    assert backend.get("/versions").json()["images"] == {}
    ask(backend, [upload(names[0]), upload("lost.png"), upload("gone.png")])
    ask(backend, [upload(names[0])])
    about = backend.get("/versions").json()["images"]
    assert (about["lost"], about["of"]) == (2, 3)
    assert "lost.png: no file of that name" in about["first"]
    assert "LABEL_STUDIO_URL" in about["first"]


def test_an_image_that_trickles_is_cut_off(serve, pretended, monkeypatch):
    monkeypatch.setattr(task_images, "FETCHING", 1)
    pretended.answers[upload("slow.png")] = lambda _: Answer(body=trickle(bytes(1000)))
    backend = serve(label_studio_url=pretended.url, label_studio_api_key=KEY)
    assert "too long" in ask(backend, [upload("slow.png")])[0]["error"]


def test_images_on_disk_do_not_wait_for_those_that_trickle_in_other_requests(serve, names, pretended):
    enough, slow = Event(), upload("slow.png")
    pretended.answers[slow] = lambda _: Answer(body=takewhile(lambda _: not enough.is_set(), trickle(bytes(1000))))
    backend = serve(label_studio_url=pretended.url, label_studio_api_key=KEY)
    with ThreadPoolExecutor(50) as pool:
        trickling = [pool.submit(ask, backend, [slow]) for _ in range(50)]  # a framework has 40 threads by itself
        try:
            wait_until(lambda: [path for path, _ in pretended.requests].count(slow) == 50)
            assert labels(ask(backend, [upload(names[0])])) != [None]
            assert not any(request.done() for request in trickling)
        finally:
            enough.set()


def test_a_request_ends_in_time_with_those_images_that_came(serve, names, pretended, monkeypatch):
    monkeypatch.setattr(serving, "PATIENCE", 4)
    monkeypatch.setattr(task_images, "RESERVED", 2)
    monkeypatch.setattr(Input, "batch", 1)  # so the image on disk comes when the time to fetch is over
    release = Event()
    pretended.answers[upload("silent.png")] = lambda _: Answer(404 if release.wait(20) else 500)
    backend = serve(label_studio_url=pretended.url, label_studio_api_key=KEY)
    silent, local = ask(backend, [upload("silent.png"), upload(names[0])])
    assert not release.is_set()
    assert "no time left" in silent["error"]
    assert labels([local]) != [None]
    release.set()


def test_pictures_are_decoded_side_by_side_as_far_as_the_setting_lets_them(serve, root, monkeypatch, caplog):
    sizes = {f"{number}.png": (700, 700) for number in range(8)} | {"large.png": (1100, 1000)}
    for name, size in sizes.items():
        Image.new("L", size).save(root / "extra-data" / name)
    read, running, together = Input.read, [], []

    def note(self, file):
        running.append(file)
        together.append(len(running))
        time.sleep(0.1)
        running.remove(file)
        return read(self, file)

    monkeypatch.setattr(Input, "read", note)
    *small, large = ask(serve(backend_megapixels=1), [upload(name) for name in sizes])
    assert max(together) == 2
    assert None not in labels(small)
    assert "BACKEND_MEGAPIXELS" in large["error"]
    unbounded = TaskImages(root / "extra-data", BackendSettings())
    (pixels,) = unbounded.read([upload("large.png")], Input(16), time.monotonic() + 60)
    assert isinstance(pixels, np.ndarray)


def test_a_label_studio_that_comes_back_is_asked_again(serve, root, names, pretended):
    (root / "extra-data" / names[0]).rename(root / "picture.png")
    content = (root / "picture.png").read_bytes()
    backend = serve(label_studio_url=pretended.url, label_studio_api_key=KEY)
    pretended.answers[upload(names[0])] = lambda _: Answer(502)
    assert "502" in ask(backend, [upload(names[0])])[0]["error"]
    pretended.answers[upload(names[0])] = lambda _: Answer(body=content)
    assert labels(ask(backend, [upload(names[0])])) != [None]
