"""Text that is no Unicode: half a surrogate pair, which JSON can hold and UTF-8 cannot."""

import json

import pytest
from backends import config, upload

pytest_plugins = ["served"]  # its fixtures

HALF, JSON = "\ud800", {"Content-Type": "application/json"}
TASK = {"data": {"photo": upload("digit-000.png")}}


@pytest.mark.parametrize(
    "request_body",
    [
        {"tasks": [TASK], "label_config": config() + HALF},
        {"tasks": [TASK], "label_config": config().replace("digit", HALF)},
        {"tasks": [HALF], "label_config": config()},
        {"tasks": [{"data": HALF}], "label_config": config()},
        {"tasks": [TASK], "label_config": [HALF]},
        {HALF: [HALF]},
        HALF,
    ],
)
def test_a_request_that_needs_it_is_refused_in_words(backend, request_body):
    answer = backend.post("/predict", content=json.dumps(request_body), headers=JSON)
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) > 20


@pytest.mark.parametrize("event", [{"action": HALF}, {"action": "A", "project": {"id": HALF, HALF: 1}}])
def test_an_event_with_it_is_like_any_other(backend, event):
    assert backend.post("/webhook", content=json.dumps(event), headers=JSON).status_code == 200


@pytest.mark.parametrize(
    "data", [{"photo": HALF}, {"photo": f"/data/upload/1/{HALF}.png"}, {HALF: HALF}, {"photo": [HALF]}]
)
def test_one_task_with_it_gets_no_prediction_and_the_others_do(backend, data):
    body = {"tasks": [TASK, {"data": data}], "label_config": config()}
    answer = backend.post("/predict", content=json.dumps(body), headers=JSON)
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["results"]
    assert first["result"]
    assert second["error"]
    assert backend.get("/versions").json()["images"]["lost"] == 1
