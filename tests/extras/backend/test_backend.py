"""The model backend, asked over HTTP as Label Studio asks it."""

import json
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import httpx2
import pytest
from backends import CLASSES, PROJECT, ask, choices, commit_model, config, labels, train_digits, upload
from pictures import table_of
from servers import ask_app

from extras.backend.app import make_app
from extras.backend.settings import BackendSettings
from helpers.pipeline.model import load_classifier
from helpers.pipeline.paths import MODEL

pytest_plugins = ["served"]  # its fixtures

TRAFFIC = PROJECT.parent / "shared/exports/ml-backend-traffic.json"


def test_every_picture_of_a_request_gets_the_models_own_prediction_in_its_place(backend, shared, names):
    results = ask(backend, [upload(name) for name in names])
    model, extra = load_classifier((shared / MODEL).read_bytes()), shared / "extra-data"
    expected = model.predict(shared, extra, table_of(extra, names))
    assert labels(results) == list(expected.idxmax(axis=1))
    assert [result["score"] for result in results] == pytest.approx(list(expected.max(axis=1)), abs=1e-5)
    region = {"from_name": "digit", "to_name": "picture", "type": "choices", "value": {"choices": labels(results)[:1]}}
    assert results[0]["result"] == [{**region, "score": results[0]["score"]}]


def test_the_version_is_the_models_own_wherever_it_is_told(backend, shared, names):
    version = load_classifier((shared / MODEL).read_bytes()).version
    assert ask(backend, [upload(names[0])])[0]["model_version"] == version
    assert backend.post("/setup", json={"schema": config()}).json() == {"model_version": version}
    assert backend.get("/health").json() == {"status": "UP", "model_version": version}
    assert backend.get("/versions").json()["versions"] == [version]


@pytest.mark.skipif(not TRAFFIC.exists(), reason="needs requests that were recorded, in ../shared")
def test_what_label_studio_really_sends_is_answered_as_it_expects(serve, root):
    traffic = json.loads(TRAFFIC.read_text())
    shutil.copytree(TRAFFIC.parent / "images/real", root / "extra-data", dirs_exist_ok=True)
    planets = ("Earth", "Jupiter", "Mars", "Mercury", "Moon", "Neptune", "Pluto", "Saturn", "Uranus", "Venus")
    commit_model(root, train_digits(planets))
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


def test_a_hundred_requests_side_by_side_lose_nothing(backend, names):
    images = [upload(name) for name in names * 3][:500]
    together = labels(ask(backend, images))
    with ThreadPoolExecutor(100) as pool:
        parts = pool.map(lambda start: labels(ask(backend, images[start : start + 5])), range(0, 500, 5))
    assert list(chain.from_iterable(parts)) == together


def test_health_is_answered_while_predictions_are_made(backend, names):
    with ThreadPoolExecutor(1) as pool:
        prediction = pool.submit(ask, backend, [upload(name) for name in names] * 5)
        answered = 0
        while not prediction.done():
            answered += backend.get("/health").is_success
    assert answered > 10
    assert None not in labels(prediction.result())


@pytest.mark.parametrize(
    ("label_config", "from_name"),
    [
        (config(), "digit"),
        (config("".join(f'<Choice value="No. {digit}" alias="{digit}"/>' for digit in CLASSES)), "digit"),
        (
            '<View><Image name="i" value="$photo"/>'
            '<Choices name="quality" toName="i"><Choice value="sharp"/><Choice value="1"/></Choices>'
            f'<Choices name="what" toName="i">{choices(*CLASSES)}</Choices></View>',
            "what",
        ),
        (config("".join(f'<Choice value="{digit}" alias="digit {digit}"/>' for digit in CLASSES)), None),
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
def test_the_control_is_the_one_that_has_the_models_classes(backend, names, label_config, from_name):
    result = ask(backend, [upload(names[0])], label_config)[0].get("result", [])
    assert [region["from_name"] for region in result] == ([from_name] if from_name else [])


def test_a_class_that_the_project_does_not_have_is_never_sent(backend, names):
    images = [upload(name) for name in names[:100]]
    everything = labels(ask(backend, images))
    some = labels(ask(backend, images, config(choices("3", "7"))))
    assert some == [label if label in {"3", "7"} else None for label in everything]


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
def test_what_is_no_request_of_label_studio_is_refused_in_a_sentence(backend, content, status, chunked):
    pieces = (content[start : start + 65536] for start in range(0, len(content) or 1, 65536))
    headers = {"Content-Type": "application/json"}
    answer = backend.post("/predict", content=pieces if chunked else content, headers=headers)
    assert answer.status_code == status
    assert 5 < len(answer.text) < 500
    assert "Traceback" not in answer.text


def test_with_a_password_only_health_is_open(serve):
    backend, right = serve(backend_password="s3cret"), httpx2.BasicAuth("label-studio", "s3cret")
    wrong = [None, httpx2.BasicAuth("label-studio", "s3cre"), httpx2.BasicAuth("x", "s3cret"), httpx2.BasicAuth("", "")]
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
def test_it_is_asked_under_its_own_names_unless_a_password_protects_it(shared, settings, host, status):
    app, headers = make_app(shared, BackendSettings(**settings)), {"Host": host}
    answer = ask_app(app, "GET", "/versions", headers=headers, auth=("label-studio", "s3cret"))
    assert answer.status_code == status


def test_uvicorn_serves_the_workspace_around_the_working_directory(shared):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    app = ["--factory", "extras.backend.app:make_backend", "--app-dir", str(shared)]
    command = [sys.executable, "-m", "uvicorn", *app, "--port", str(port)]
    with subprocess.Popen(command, cwd=shared / "data", stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "running on" in line:
                    break
            url = f"http://127.0.0.1:{port}"
            assert url in line
            version = load_classifier((shared / MODEL).read_bytes()).version
            assert httpx2.get(f"{url}/health").json() == {"status": "UP", "model_version": version}
            assert httpx2.get(f"{url}/versions").json()["training"] == {"state": "off"}
        finally:
            process.terminate()


@pytest.mark.slow
def test_outside_a_workspace_uvicorn_ends_with_a_sentence(tmp_path, run):
    app = ("--factory", "extras.backend.app:make_backend")
    result = run(sys.executable, "-m", "uvicorn", *app, "--app-dir", PROJECT, cwd=tmp_path)
    assert result.returncode == 1
    assert "not inside a project" in result.stderr
    assert "Traceback" not in result.stderr
