"""The projects of a Label Studio: list them, and find the one to which images go."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from extras.label_studio.client import Server
from extras.label_studio.label_config import Control, find_control, make_config
from helpers.problems import Problem

PROJECT_URL = re.compile(r"((?i:https?)://[^\s?#@]+?)/projects/(\d+)(?:[/?#]\S*)?")


class Project(NamedTuple):
    """A project of Label Studio; its number is 0 as long as it is not created."""

    number: int
    title: str
    config: str
    control: Control


def find_project(server: Server, number: int, title: str, classes: Sequence[str]) -> Project:
    """Find a project by its number or, if that is 0, by its title; if none has the title it is still to be created."""
    projects = list_projects(server)
    wanted = f"the number {number}" if number else f"the title {title!r}"
    found = [one for one, name in projects.items() if (one == number if number else name == title)]
    can_be_made = title and not number
    if len(found) > 1 or not (found or can_be_made):
        raise Problem(
            f"{'Several projects have' if found else 'There is no project with'} {wanted} at {server.url}.",
            [f"{one}: {projects[one]}" for one in found or projects],
            "Set `project` to a number, or `title` to the title of a new project.",
        )
    if found:
        number, title = found[0], projects[found[0]]
        config = server.ask("GET", f"/api/projects/{number}/")["label_config"]
    else:
        config = make_config(classes)
    control = find_control(config, set(classes))
    if not control:
        raise Problem(
            f"The labelling configuration of {title!r} has none of the model's classes.",
            [f"the model knows: {label}" for label in classes],
            "Its `<Choices>` need these as values.",
        )
    return Project(number, title, config, control)


def describe(project: Project, classes: Sequence[str]) -> str:
    """Say which project it is, and which classes of the model cannot be chosen in it."""
    about = f"Project {project.number}, {project.title!r}" if project.number else f"A new project {project.title!r}"
    missing = [label for label in classes if label not in project.control.classes]
    return f"{about}, without: {', '.join(missing)}" if missing else f"{about}, with all classes of the model"


def parse_project_url(address: str) -> tuple[str, int]:
    """Return the server and the number in the address of a project, as a browser shows it."""
    match = PROJECT_URL.fullmatch(address)
    if not match:
        raise Problem(f"{address!r} is not the address of a project, such as http://localhost:8080/projects/3.")
    return match[1], int(match[2])


def list_projects(server: Server) -> dict[int, str]:
    """The title of each project that the key gives access to, by its number."""
    fields = {"include": "id,title", "page_size": 10_000}
    found = server.ask("GET", "/api/projects", params=fields)["results"]
    return {project["id"]: project["title"] for project in found}
