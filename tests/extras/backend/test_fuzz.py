"""Requests that nobody thought of, made from the backend's own schema: those that keep to it, and others."""

from typing import Any

import pytest
import schemathesis
from backends import config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from extras.backend.app import make_app
from extras.backend.settings import BackendSettings

pytest_plugins = ["served"]  # its fixtures

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE


def fuzz(backend, shared, path: str, mode: GenerationMode, change: Any = lambda case, data: None) -> set[int]:
    """Send some hundred requests; gives the statuses of the answers."""
    schema, statuses = schemathesis.openapi.from_dict(make_app(shared, BackendSettings()).openapi()), set()

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=schema[path]["POST"].as_strategy(generation_mode=mode), data=st.data())
    def send(case, data) -> None:
        change(case, data)
        answer = case.call(base_url=str(backend.base_url))
        assert answer.status_code < 500, case.body
        statuses.add(answer.status_code)

    send()
    return statuses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "mode", "status"),
    [
        ("/setup", POSITIVE, 200),
        ("/predict", POSITIVE, 422),  # no text from nowhere is the XML of a configuration
        ("/predict", NEGATIVE, 422),
        ("/webhook", POSITIVE, 200),
        ("/webhook", NEGATIVE, 422),
    ],
)
def test_no_request_breaks_the_backend(backend, shared, path, mode, status):
    assert status in fuzz(backend, shared, path, mode)
    assert backend.get("/health").is_success


@pytest.mark.slow
def test_no_data_of_a_task_breaks_the_backend(backend, shared):
    def make_sense(case, data) -> None:
        case.body["label_config"] = config()
        case.body["tasks"] += [{"data": {"photo": data.draw(JSON), "blind": data.draw(JSON)}}]

    assert fuzz(backend, shared, "/predict", POSITIVE, make_sense) == {200}
