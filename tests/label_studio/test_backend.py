"""The model backend, asked over HTTP as Label Studio asks it."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, repeat
from pathlib import Path
from threading import Event
from typing import Any
from zlib import crc32

import httpx
import numpy as np
import pytest
import torch
from label_studio_server import Answer
from PIL import Image
from servers import serving, wait_until

from helpers.label_studio import serving as serving_module
from helpers.label_studio import task_images
from helpers.label_studio.backend import make_app
from helpers.label_studio.settings import Settings
from helpers.label_studio.trigger import Trigger
from helpers.pipeline.model import Classifier, Description, load_classifier, save_classifier
from helpers.pipeline.network import build_network
from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace

TRAFFIC = Path(__file__).parents[3] / "shared/exports/ml-backend-traffic.json"
KEY = "0123456789abcdef0123456789abcdef01234567"
DIGITS = [str(digit) for digit in range(10)]


def choices(*labels: str) -> str:
    return "".join(f'<Choice value="{label}"/>' for label in labels)


def config(choices: str = choices(*DIGITS)) -> str:
    return (
        f'<View><Image name="picture" value="$photo"/><Choices name="digit" toName="picture">{choices}</Choices></View>'
    )


def ask(backend: httpx.Client, images: list[Any], label_config: str = config()) -> list[dict[str, Any]]:
    """Ask for predictions; gives the results after checking what holds for all of them."""
    tasks = [{"id": number, "data": {"photo": image}} for number, image in enumerate(images)]
    answer = backend.post("/predict", json={"tasks": tasks, "label_config": label_config})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert len(results) == len(images)
    assert all(result["score"] is None if not result["result"] else 0 <= result["score"] <= 1 for result in results)
    return results


def labels(results: list[dict[str, Any]]) -> list[str | None]:
    return [result["result"][0]["value"]["choices"][0] if result["result"] else None for result in results]


def upload(name: str) -> str:
    """The reference of an upload, whose stored name differs from the file's."""
    return f"/data/upload/3/{crc32(name.encode()):08x}-{name}"


@pytest.fixture
def root(pristine, tmp_path) -> Path:
    """A clone of the sample, with as much of its data as serving needs; DVC's remote has the rest."""
    root = tmp_path / "workspace"
    Workspace(pristine).git("clone", "--quiet", "--shared", str(pristine), str(root))
    (tmp_path / "demo-storage").symlink_to(pristine.parent / "demo-storage")
    (root / MODEL).parent.mkdir(exist_ok=True)
    shutil.copy(pristine / MODEL, root / MODEL)
    shutil.copytree(pristine / "extra-data", root / "extra-data")
    return root


@pytest.fixture
def serve(root) -> Iterator[Callable[..., httpx.Client]]:
    """Serve the workspace, with settings; gives a client."""
    with ExitStack() as stack:

        def serve(**settings: Any) -> httpx.Client:
            url = stack.enter_context(serving(make_app(root, Settings(**settings))))
            return stack.enter_context(httpx.Client(base_url=url, timeout=100))

        yield serve


@pytest.fixture
def names(root) -> list[str]:
    return sorted(file.name for file in (root / "extra-data").glob("*.png"))


# Answers


def test_every_picture_of_a_request_gets_the_models_own_prediction_in_its_place(serve, root, names):
    backend = serve()
    results = ask(backend, [upload(name) for name in names[:300]])
    expected = load_classifier((root / MODEL).read_bytes()).predict(root / "extra-data", names[:300])
    assert labels(results) == list(expected.idxmax(axis=1))
    assert [result["score"] for result in results] == pytest.approx(list(expected.max(axis=1)), abs=1e-5)
    region = {"from_name": "digit", "to_name": "picture", "type": "choices", "value": {"choices": labels(results)[:1]}}
    assert results[0]["result"] == [{**region, "score": results[0]["score"]}]


def test_the_version_is_the_models_own_wherever_it_is_told(serve, root, names):
    backend = serve()
    version = load_classifier((root / MODEL).read_bytes()).version
    assert ask(backend, [upload(names[0])])[0]["model_version"] == version
    assert backend.post("/setup", json={"schema": config()}).json() == {"model_version": version}
    assert backend.get("/health").json() == {"status": "UP", "model_version": version}
    assert backend.get("/versions").json()["versions"] == [version]


@pytest.mark.skipif(not TRAFFIC.exists(), reason="needs requests that were recorded, in ../shared")
def test_what_label_studio_really_sends_is_answered_as_it_expects(serve, root):
    traffic = json.loads(TRAFFIC.read_text())
    shutil.copytree(TRAFFIC.parent / "images/real", root / "extra-data", dirs_exist_ok=True)
    planets = ("Earth", "Jupiter", "Mars", "Mercury", "Moon", "Neptune", "Pluto", "Saturn", "Uranus", "Venus")
    torch.manual_seed(0)
    description = Description(planets, image_size=16, colour="rgb", width=4)
    commit_model(root, Classifier(build_network(channels=3, classes=len(planets), width=4).eval(), description))
    backend = serve()
    answers = {}
    for asked, recorded in traffic.items():
        method, path = asked.split()[:2]
        answers[asked] = backend.request(method, path, json=recorded["body"])
    start = answers.pop("POST /webhook START_TRAINING")
    assert start.status_code == 403
    assert {answer.status_code for answer in answers.values()} == {200}
    results = answers["POST /predict (6 tasks)"].json()["results"]
    assert len(results) == 6
    assert {result["result"][0]["from_name"] for result in results} == {"choice"}
    assert set(labels(results)) <= set(planets)
    assert answers["POST /predict (1 task)"].json()["results"] == results[:1]
    assert {result["model_version"] for result in results} == {answers["POST /setup"].json()["model_version"]}


def test_a_hundred_requests_side_by_side_lose_nothing(serve, names):
    backend = serve()
    images = [upload(name) for name in names[:500]]
    together = labels(ask(backend, images))
    with ThreadPoolExecutor(100) as pool:
        parts = pool.map(lambda start: labels(ask(backend, images[start : start + 5])), range(0, 500, 5))
    assert list(chain.from_iterable(parts)) == together


def test_health_is_answered_while_predictions_are_made(serve, names):
    backend = serve()
    with ThreadPoolExecutor(1) as pool:
        prediction = pool.submit(ask, backend, [upload(name) for name in names] * 3)
        answered = 0
        while not prediction.done():
            answered += backend.get("/health").is_success
    assert answered > 10
    assert None not in labels(prediction.result())


# Labelling configurations


@pytest.mark.parametrize(
    ("label_config", "from_name"),
    [
        (config(), "digit"),
        (config("".join(f'<Choice value="No. {digit}" alias="{digit}"/>' for digit in DIGITS)), "digit"),
        (
            '<View><Image name="i" value="$photo"/>'
            '<Choices name="quality" toName="i"><Choice value="sharp"/><Choice value="1"/></Choices>'
            f'<Choices name="what" toName="i">{choices(*DIGITS)}</Choices></View>',
            "what",
        ),
        (config("".join(f'<Choice value="{digit}" alias="digit {digit}"/>' for digit in DIGITS)), None),
        (config(choices("cat", "dog")), None),
        (
            '<View><Text name="t" value="$photo"/><Choices name="c" toName="t"><Choice value="1"/></Choices></View>',
            None,
        ),
        (
            '<View><Image name="i" value="$other"/><Choices name="c" toName="i"><Choice value="1"/></Choices></View>',
            None,
        ),
        ("<View/>", None),
    ],
    ids=["values", "aliases", "two controls", "other aliases", "other classes", "of text", "no such field", "empty"],
)
def test_the_control_is_the_one_that_has_the_models_classes(serve, names, label_config, from_name):
    result = ask(serve(), [upload(names[0])], label_config)[0]["result"]
    assert [region["from_name"] for region in result] == ([from_name] if from_name else [])


def test_a_class_that_the_project_does_not_have_is_never_sent(serve, names):
    backend, images = serve(), [upload(name) for name in names[:100]]
    everything = labels(ask(backend, images))
    some = labels(ask(backend, images, config(choices("3", "7"))))
    assert some == [label if label in {"3", "7"} else None for label in everything]


# Pictures


def test_what_cannot_be_read_is_empty_and_logged_and_the_others_get_their_predictions(serve, root, names, caplog):
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
        results = labels(ask(backend, [good[0], *bad, good[1]]))
    assert results == [labels(ask(backend, good))[0], *[None] * len(bad), labels(ask(backend, good))[1]]
    assert len(caplog.messages) == len(bad)
    assert not any("\n" in message or "\r" in message for message in caplog.messages)
    assert [len(message) < 1000 for message in caplog.messages] == [True] * len(bad)


def test_a_task_without_the_image_gets_an_empty_prediction(serve):
    body = {"tasks": [{"id": 1, "data": {}}], "label_config": config()}
    results = serve().post("/predict", json=body).json()["results"]
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


def test_pictures_that_are_not_on_disk_are_fetched_from_label_studio(serve, root, names, pretended):
    there = labels(ask(serve(), [upload(name) for name in names[:20]]))
    for name in names[:20]:
        content = (root / "extra-data" / name).read_bytes()
        pretended.answers[upload(name)] = lambda _, content=content: Answer(body=content)
    shutil.rmtree(root / "extra-data")
    backend = serve(label_studio_url=pretended.url, label_studio_api_key=KEY)
    images = [upload(name) for name in names[:19]] + [f"{pretended.url}{upload(names[19])}"]
    assert labels(ask(backend, images)) == there
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


# The model on disk


def other_model(root: Path) -> Classifier:
    """A model with the same classes and other weights."""
    old = load_classifier((root / MODEL).read_bytes())
    torch.manual_seed(1)
    about = old.description
    return Classifier(build_network(3, len(about.classes), about.width).eval(), about)


def commit_model(root: Path, model: Classifier) -> None:
    """Let DVC and git take a model for the one that was trained."""
    workspace = Workspace(root)
    workspace.dvc("pull", "--force", "prepare", "train", quiet=True)
    (root / MODEL).unlink()
    save_classifier(model, root / MODEL)
    workspace.dvc("commit", "--force", "train", quiet=True)
    somebody = ("-c", "user.name=Somebody", "-c", "user.email=some@body")
    workspace.git(*somebody, "commit", "--quiet", "--message", "Another model", "dvc.lock")


def test_a_model_is_served_from_its_commit_on_and_no_other_before(serve, root, names):
    old, new = load_classifier((root / MODEL).read_bytes()), other_model(root)
    save_classifier(new, root / MODEL)
    backend, images = serve(), [upload(name) for name in names[:20]]
    expected = {old.version: labels(ask(backend, images))}
    stop, answers = Event(), []

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(ask(backend, images))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        try:
            assert backend.post("/setup").json() == {"model_version": old.version}
            assert Workspace(root).commit_of("HEAD")[:7] in backend.get("/versions").json()["reason"]
            (root / MODEL).unlink()
            assert backend.post("/setup").json() == {"model_version": old.version}
            commit_model(root, new)
            wait_until(lambda: backend.post("/setup").json() == {"model_version": new.version})
            expected[new.version] = labels(ask(backend, images))
        finally:
            stop.set()
        for thread in asking:
            thread.result()
    assert expected[old.version] != expected[new.version]
    for results in answers:
        assert len({result["model_version"] for result in results}) == 1
        assert labels(results) == expected[results[0]["model_version"]]


def test_without_a_committed_model_it_says_what_to_do_and_serves_the_first_one(serve, root, names):
    workspace = Workspace(root)
    first = workspace.commit_of("HEAD")
    workspace.git("checkout", "--quiet", "--orphan", "new")
    backend = serve()
    assert backend.get("/health").json() == {"status": "UP", "model_version": None}
    body = {"tasks": [], "label_config": config()}
    for answer in (backend.post("/setup"), backend.post("/predict", json=body)):
        assert answer.status_code == 503
        assert "dvc repro" in answer.json()["detail"]
    workspace.git("reset", "--soft", first)
    assert labels(ask(backend, [upload(names[0])])) != [None]


def test_the_last_good_model_answers_while_that_of_the_last_commit_cannot_be_had(serve, root, monkeypatch):
    monkeypatch.setattr(serving_module, "PAUSE", 0)
    backend, workspace = serve(), Workspace(root)
    before = backend.post("/setup").json()
    new = other_model(root)
    commit_model(root, new)
    cache = root / ".dvc/cache"
    cache.rename(root / "lost")
    assert backend.post("/setup").json() == before
    assert "neither in DVC's cache nor in its remote" in backend.get("/versions").json()["reason"]
    (root / "lost").rename(cache)
    assert backend.post("/setup").json() == {"model_version": new.version}
    assert workspace.commit_of("HEAD")[:7] in backend.get("/versions").json()["reason"]


def test_a_model_that_learnt_nothing_but_nan_gives_no_score(serve, root, names):
    old = load_classifier((root / MODEL).read_bytes())
    with torch.no_grad():
        for parameter in old.network[-1].parameters():
            parameter.fill_(np.nan)
    commit_model(root, old)
    assert labels(ask(serve(), [upload(names[0])])) == [None]


# Who may ask what


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 422),
        (b"[]", 422),
        (b'{"tasks": [{"data": 1}], "label_config": ""}', 422),
        (b'{"tasks": [], "label_config": "<View"}', 422),
        (b'{"tasks": [], "label_config": "<!DOCTYPE a [<!ENTITY b \'b\'>]><View>&b;</View>"}', 422),
        (bytes(33 << 20), 413),
    ],
    ids=[
        "nothing",
        "cut off",
        "deep",
        "no text",
        "a list",
        "a number as data",
        "no XML",
        "a document type",
        "too long",
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_no_request_of_label_studio_is_refused_in_a_sentence(serve, content, status, chunked):
    pieces = (content[start : start + 65536] for start in range(0, len(content) or 1, 65536))
    headers = {"Content-Type": "application/json"}
    answer = serve().post("/predict", content=pieces if chunked else content, headers=headers)
    assert answer.status_code == status
    assert 5 < len(answer.text) < 500
    assert "Traceback" not in answer.text


def test_with_a_password_only_health_is_open(serve):
    backend, right = serve(backend_password="s3cret"), httpx.BasicAuth("label-studio", "s3cret")
    wrong = [None, httpx.BasicAuth("label-studio", "s3cre"), httpx.BasicAuth("x", "s3cret"), httpx.BasicAuth("", "")]
    assert backend.get("/health").status_code == 200
    for method, path in (("POST", "/setup"), ("POST", "/predict"), ("GET", "/versions"), ("GET", "/docs")):
        for auth in wrong:
            assert backend.request(method, path, auth=auth).status_code == 401
        assert backend.request(method, path, auth=right).status_code in (200, 404, 422)
    for header in ("Basic", "Basic !", "Bearer x", "Basic bGFiZWwtc3R1ZGlv"):
        assert backend.get("/versions", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({}, "localhost:9090", 200),
        ({}, "127.0.0.1", 200),
        ({}, "[::1]:9090", 200),
        ({}, "evil.example", 400),
        ({}, "localhost.evil.example:9090", 400),
        ({"backend_hosts": "models.example *.internal"}, "models.example:9090", 200),
        ({"backend_hosts": "models.example *.internal"}, "host.docker.internal:9090", 200),
        ({"backend_hosts": "models.example *.internal"}, "localhost:9090", 400),
        ({"backend_hosts": "models.example", "backend_password": "s3cret"}, "evil.example", 400),
        ({"backend_password": "s3cret"}, "models.example", 200),
    ],
)
def test_it_is_asked_under_its_own_names_unless_a_password_protects_it(serve, settings, host, status):
    answer = serve(**settings).get("/versions", headers={"Host": host}, auth=httpx.BasicAuth("label-studio", "s3cret"))
    assert answer.status_code == status


def test_uvicorn_serves_the_workspace_around_the_working_directory(pristine):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "helpers.label_studio.backend:make_backend",
        "--port",
        str(port),
        "--app-dir",
        str(pristine),
    ]
    with subprocess.Popen(command, cwd=pristine / "data", stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "running on" in line:
                    break
            assert f"http://127.0.0.1:{port}" in line
            version = load_classifier((pristine / MODEL).read_bytes()).version
            assert httpx.get(f"http://127.0.0.1:{port}/health").json() == {"status": "UP", "model_version": version}
        finally:
            process.terminate()


@pytest.mark.slow
def test_outside_a_workspace_uvicorn_ends_with_a_sentence(tmp_path, pristine, run):
    app = ("--factory", "helpers.label_studio.backend:make_backend")
    result = run(sys.executable, "-m", "uvicorn", *app, "--app-dir", pristine, cwd=tmp_path)
    assert result.returncode == 1
    assert "not inside a project" in result.stderr
    assert "Traceback" not in result.stderr


# With a real Label Studio


@pytest.mark.label_studio
def test_label_studio_connects_shows_the_predictions_and_starts_trainings(root, names, label_studio, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for name in names[8:]:
        (root / "extra-data" / name).unlink()
    expected = load_classifier((root / MODEL).read_bytes()).predict(root / "extra-data", names[:8]).idxmax(axis=1)
    header, password = {"Authorization": f"Token {label_studio.key}"}, "s3cret"
    with httpx.Client(base_url=label_studio.url, headers=header, timeout=100) as user:

        def ask(method: str, path: str, **options: Any) -> Any:
            return user.request(method, path, **options).raise_for_status().json()

        project = ask("POST", "/api/projects/", json={"title": "Digits", "label_config": config()})["id"]
        files = {name: (name, (root / "extra-data" / name).read_bytes()) for name in names[:8]}
        ask("POST", f"/api/projects/{project}/import", files=files)
        settings = Settings(
            label_studio_url=label_studio.url,
            label_studio_api_key=label_studio.personal_access_token,
            backend_password=password,
            backend_images="none",  # so they come from the server
            retrain_project=project,
            retrain_after=2,
        )
        trigger = Trigger(root, settings, [sys.executable, "-c", "pass"])
        with serving(make_app(root, settings, trigger)) as url:
            connection = {"project": project, "url": url, "title": "model", "auth_method": "BASIC_AUTH"}
            connection |= {"basic_auth_user": "label-studio", "basic_auth_pass": password}
            number = ask("POST", "/api/ml", json=connection)["id"]
            everything = {"selectedItems": {"all": True, "excluded": []}}
            options = {"id": "retrieve_tasks_predictions", "project": project}
            ask("POST", "/api/dm/actions", params=options, json=everything)
            tasks = ask("GET", "/api/tasks", params={"project": project, "fields": "all"})["tasks"]
            shown = {task["file_upload"].partition("-")[2]: labels(task["predictions"]) for task in tasks}
            assert shown == {name: [label] for name, label in expected.items()}
            version = ask("GET", f"/api/ml/{number}")["model_version"]
            assert {prediction["model_version"] for task in tasks for prediction in task["predictions"]} == {version}
            assert ask("GET", f"/api/ml/{number}/versions") == {"versions": [version]}

            user.post(f"/api/ml/{number}/train").raise_for_status()
            wait_for_runs(root, 1)
            for task in tasks[:2]:
                ask("POST", f"/api/tasks/{task['id']}/annotations", json={"result": task["predictions"][0]["result"]})
            wait_for_runs(root, 2)


def wait_for_runs(root: Path, count: int) -> None:
    """Wait until so many runs were started and the last of them has ended."""
    record = root / "runs/last.json"
    wait_until(lambda: len(list(root.glob("runs/*.log"))) >= count and "ended" in json.loads(record.read_text()))
