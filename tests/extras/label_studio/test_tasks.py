"""The project that the pictures go to, and the tasks that are there, on a server that answers as a test wants."""

import hashlib
import json
from pathlib import Path

import pytest
from label_studio_server import Answer, Pretended

from extras.label_studio import tasks
from extras.label_studio.client import Server, connect
from extras.label_studio.label_config import find_control, make_config
from extras.label_studio.settings import Settings
from helpers.problems import Problem

CLASSES = ["ham & eggs", '"<b>"', "7"]


@pytest.fixture
def server(pretended) -> Server:
    return connect(Settings(_env_file=None, label_studio_url=pretended.url, label_studio_api_key="key"))


def answer(pretended: Pretended, path: str, content: object) -> None:
    pretended.answers[path] = lambda _: Answer(body=json.dumps(content).encode())


def have_projects(pretended: Pretended, classes: list[str], *titles: str) -> None:
    """Let the server have projects of these titles, numbered from 1, with these classes."""
    projects = [{"id": number, "title": title} for number, title in enumerate(titles, start=1)]
    answer(pretended, "/api/projects", {"results": projects})
    for project in projects:
        answer(pretended, f"/api/projects/{project['id']}/", {"label_config": make_config(classes)})


@pytest.mark.parametrize(("number", "title"), [(2, ""), (2, "ignored"), (0, "Dogs")])
def test_a_project_is_found_by_its_number_or_its_title(pretended, server, number, title):
    have_projects(pretended, CLASSES, "Cats", "Dogs")
    found = tasks.find_project(server, number, title, CLASSES)
    assert (found.number, found.title, found.control.classes) == (2, "Dogs", set(CLASSES))


def test_a_project_that_is_still_to_be_made_has_all_classes(pretended, server):
    have_projects(pretended, CLASSES, "Cats")
    found = tasks.find_project(server, 0, "Dogs", CLASSES)
    assert (found.number, found.title, found.control.classes) == (0, "Dogs", set(CLASSES))


@pytest.mark.parametrize("number", [999, 0])
def test_a_project_that_is_not_there_is_a_problem(pretended, server, number):
    have_projects(pretended, CLASSES, "Cats", "Dogs")
    with pytest.raises(Problem, match="There is no project") as problem:
        tasks.find_project(server, number, "", CLASSES)
    assert problem.value.details == ["1: Cats", "2: Dogs"]


def test_a_title_must_be_that_of_one_project(pretended, server):
    have_projects(pretended, CLASSES, "Cats", "Dogs", "Cats")
    with pytest.raises(Problem, match="Several projects") as problem:
        tasks.find_project(server, 0, "Cats", CLASSES)
    assert problem.value.details == ["1: Cats", "3: Cats"]


def test_a_project_without_the_classes_is_a_problem(pretended, server):
    have_projects(pretended, ["other"], "Cats")
    with pytest.raises(Problem, match="none of the model's classes"):
        tasks.find_project(server, 0, "Cats", CLASSES)


def read_unknown_image(pretended: Pretended, server: Server, root: Path, image: Answer) -> list[str]:
    """Read a project with one task, uploaded by hand, whose image the server answers so; gives its hash."""
    (root / ".dvc/tmp").mkdir(parents=True, exist_ok=True)
    task = {"id": 1, "data": {"image": "/data/upload/1/cat.png"}, "meta": {}}
    task |= {"total_annotations": 0, "cancelled_annotations": 0}
    answer(pretended, "/api/tasks", {"total": 1, "tasks": [task]})
    pretended.answers["/data/upload/1/cat.png"] = lambda _: image
    config = make_config(CLASSES)
    control = find_control(config, set(CLASSES))
    assert control
    return tasks.read_tasks(server, tasks.Project(1, "Pictures", config, control), "one", root)["sha256"].tolist()


def test_an_image_that_the_server_lost_has_no_content(pretended, server, tmp_path):
    assert read_unknown_image(pretended, server, tmp_path, Answer(404)) == [""]


def test_an_image_that_cannot_be_had_now_is_a_problem_because_it_would_be_sent_twice(pretended, server, tmp_path):
    with pytest.raises(Problem, match="503"):
        read_unknown_image(pretended, server, tmp_path, Answer(503))


def test_an_upload_is_hashed_once(pretended, server, tmp_path):
    sha256 = hashlib.sha256(b"a cat").hexdigest()
    assert read_unknown_image(pretended, server, tmp_path, Answer(body=b"a cat")) == [sha256]
    assert read_unknown_image(pretended, server, tmp_path, Answer(503)) == [sha256]
