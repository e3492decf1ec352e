"""The tasks that are there, and the contents of their images, on a server that answers as a test wants."""

import hashlib
from pathlib import Path

import pytest
from label_studio_server import Answer, Pretended

from extras.label_studio.client import Server
from extras.label_studio.label_config import Control
from extras.label_studio.projects import Project
from extras.label_studio.tasks import read_tasks
from helpers.problems import Problem

pytest_plugins = ["connected"]  # its fixtures


def read_unknown_image(pretended: Pretended, server: Server, root: Path, image: Answer) -> list[str]:
    """Read a project with one task, uploaded by hand, whose image the server answers so; gives its hash."""
    (root / ".dvc/tmp").mkdir(parents=True, exist_ok=True)
    task = {"id": 1, "data": {"image": "/data/upload/1/cat.png"}, "meta": {}}
    task |= {"total_annotations": 0, "cancelled_annotations": 0}
    pretended.answer("/api/tasks", {"total": 1, "tasks": [task]})
    pretended.answers["/data/upload/1/cat.png"] = lambda _: image
    project = Project(1, "Pictures", "", Control("label", "image", "image", frozenset()))
    return read_tasks(server, project, "one", root)["sha256"].tolist()


def test_an_image_that_the_server_lost_has_no_content(pretended, stand_in, tmp_path):
    assert read_unknown_image(pretended, stand_in, tmp_path, Answer(404)) == [""]


def test_an_image_that_cannot_be_had_now_is_a_problem_because_it_would_be_sent_twice(pretended, stand_in, tmp_path):
    with pytest.raises(Problem, match="503"):
        read_unknown_image(pretended, stand_in, tmp_path, Answer(503))


def test_an_upload_is_hashed_once(pretended, stand_in, tmp_path):
    sha256 = hashlib.sha256(b"a cat").hexdigest()
    assert read_unknown_image(pretended, stand_in, tmp_path, Answer(body=b"a cat")) == [sha256]
    assert read_unknown_image(pretended, stand_in, tmp_path, Answer(503)) == [sha256]
