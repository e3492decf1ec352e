"""The projects of a server that answers as a test wants: by number, by title, by address."""

import pytest
from label_studio_server import Pretended
from pushing import CLASSES

from extras.label_studio.label_config import make_config
from extras.label_studio.projects import find_project, parse_project_url
from helpers.problems import Problem

pytest_plugins = ["connected"]  # its fixtures


def have_projects(pretended: Pretended, classes: list[str], *titles: str) -> None:
    """Let the server have projects of these titles, numbered from 1, with these classes."""
    projects = [{"id": number, "title": title} for number, title in enumerate(titles, start=1)]
    pretended.answer("/api/projects", {"results": projects})
    for project in projects:
        pretended.answer(f"/api/projects/{project['id']}/", {"label_config": make_config(classes)})


@pytest.mark.parametrize(("number", "title"), [(2, ""), (2, "ignored"), (0, "Dogs")])
def test_a_project_is_found_by_its_number_or_its_title(pretended, stand_in, number, title):
    have_projects(pretended, CLASSES, "Cats", "Dogs")
    found = find_project(stand_in, number, title, CLASSES)
    assert (found.number, found.title, found.control.classes) == (2, "Dogs", set(CLASSES))


def test_a_project_that_is_still_to_be_made_has_all_classes(pretended, stand_in):
    have_projects(pretended, CLASSES, "Cats")
    found = find_project(stand_in, 0, "Dogs", CLASSES)
    assert (found.number, found.title, found.control.classes) == (0, "Dogs", set(CLASSES))


@pytest.mark.parametrize("number", [999, 0])
def test_a_project_that_is_not_there_is_a_problem(pretended, stand_in, number):
    have_projects(pretended, CLASSES, "Cats", "Dogs")
    with pytest.raises(Problem, match="There is no project") as problem:
        find_project(stand_in, number, "", CLASSES)
    assert problem.value.details == ["1: Cats", "2: Dogs"]


def test_a_title_must_be_that_of_one_project(pretended, stand_in):
    have_projects(pretended, CLASSES, "Cats", "Dogs", "Cats")
    with pytest.raises(Problem, match="Several projects") as problem:
        find_project(stand_in, 0, "Cats", CLASSES)
    assert problem.value.details == ["1: Cats", "3: Cats"]


def test_a_project_without_the_classes_is_a_problem(pretended, stand_in):
    have_projects(pretended, ["other"], "Cats")
    with pytest.raises(Problem, match="none of the model's classes"):
        find_project(stand_in, 0, "Cats", CLASSES)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("http://localhost:8080/projects/3", ("http://localhost:8080", 3)),
        ("HTTP://Localhost:8080/projects/3", ("HTTP://Localhost:8080", 3)),
        ("http://localhost:8080/projects/3/", ("http://localhost:8080", 3)),
        ("https://labels.example.com/ls/projects/12/data?tab=5&task=7", ("https://labels.example.com/ls", 12)),
    ],
)
def test_the_address_of_a_project_names_server_and_number(address, found):
    assert parse_project_url(address) == found


@pytest.mark.parametrize(
    "address",
    [
        "extra-data/annotations.json",
        "ftp://localhost/projects/3",
        "http://localhost:8080/projects",
        "http://localhost:8080/projects/3x",
        "http://key@localhost/projects/3",
    ],
)
def test_another_address_is_a_problem(address):
    with pytest.raises(Problem, match="not the address of a project"):
        parse_project_url(address)
