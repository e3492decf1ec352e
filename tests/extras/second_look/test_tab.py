"""The tab of Label Studio that holds the labels to look at again."""

import json
import re
from itertools import count

import httpx2
import pytest

from extras.label_studio.client import Server, connect
from extras.label_studio.label_config import make_config
from extras.label_studio.settings import Settings
from extras.second_look import tab
from extras.second_look.tab import open_tab

pytest_plugins = ["connected"]  # its fixtures

PROJECT = "http://localhost:8080/projects/3"


@pytest.fixture
def tabs(monkeypatch) -> dict[int, dict]:
    """The tabs of a project, by their number, on a server that keeps nothing but these."""
    tabs = {1: {"title": "Default"}, 2: {"title": "Second look", "filters": "old"}, 3: {"title": "Second look"}}
    numbers = count(4)

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            del tabs[int(request.url.path.split("/")[-2])]
            return httpx2.Response(204)
        if request.method == "POST":
            tabs[number := next(numbers)] = json.loads(request.content)["data"]
            return httpx2.Response(201, json={"id": number})
        if request.url.path == "/api/dm/columns":
            return httpx2.Response(200, json={"columns": [{"id": "id"}]})
        return httpx2.Response(200, json=[{"id": number, "data": data} for number, data in tabs.items()])

    server = Server(
        "http://localhost:8080", httpx2.Client(base_url="http://localhost:8080", transport=httpx2.MockTransport(answer))
    )
    monkeypatch.setattr(tab, "connect", lambda settings, url: server)
    return tabs


def test_the_tab_holds_these_tasks_in_place_of_the_earlier_ones(tabs, tmp_path):
    assert open_tab(f"{PROJECT}/data?tab=1", tmp_path, [7, 120, 12]) == f"{PROJECT}/data?tab=4"

    assert [data["title"] for data in tabs.values()] == ["Default", "Second look"]
    (chosen,) = tabs[4]["filters"]["items"]
    assert [number for number in range(2000) if re.search(chosen["value"], str(number))] == [7, 12, 120]


def test_without_tasks_there_is_no_tab(tabs, tmp_path):
    assert open_tab(PROJECT, tmp_path, []) == f"{PROJECT}/data"

    assert list(tabs) == [1]


@pytest.mark.label_studio
def test_label_studio_shows_these_tasks_and_no_others(label_studio, tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.key)
    server = connect(Settings())
    wanted = {"title": "Labels to look at again", "label_config": make_config(["cat", "dog"])}
    project = server.ask("POST", "/api/projects/", json=wanted)["id"]
    images = [{"image": f"https://example.org/{number}.png"} for number in range(130)]
    server.ask("POST", f"/api/projects/{project}/import", json=images)
    asked = {"project": project, "page_size": 200}
    numbers = sorted(task["id"] for task in server.ask("GET", "/api/tasks", params=asked)["tasks"])

    def shown(tasks: list[int]) -> list[int]:
        """The tasks of the tab, after it was made for these."""
        page = open_tab(f"{label_studio.url}/projects/{project}/data", tmp_path, tasks)
        asked = {"project": project, "view": page.partition("?tab=")[2], "page_size": 200}
        return sorted(task["id"] for task in server.ask("GET", "/api/tasks", params=asked)["tasks"])

    assert shown(numbers[::9]) == numbers[::9]
    assert shown(numbers[:2]) == numbers[:2]
    assert len(server.ask("GET", "/api/dm/views/", params={"project": project})) == 1
    open_tab(f"{label_studio.url}/projects/{project}", tmp_path, [])
    assert server.ask("GET", "/api/dm/views/", params={"project": project}) == []
