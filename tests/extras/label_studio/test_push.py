"""Sending pictures to a real Label Studio as tasks: with predictions, in the order of the queue."""

import shutil

import numpy as np
import pandas as pd
import pytest
from label_studio_server import pretend_label_studio
from PIL import Image
from pushing import CLASSES, all_tasks, annotate, label_all, number_of, pictured, push
from servers import proxying

from extras.label_studio import tasks
from extras.label_studio.client import connect
from extras.label_studio.fields import BLIND, is_blind
from extras.label_studio.label_config import make_config
from extras.label_studio.projects import describe, find_project
from extras.label_studio.queue import read_images
from extras.label_studio.settings import Settings
from helpers.labels import read_export
from helpers.pipeline.input import Input
from helpers.problems import Problem

pytest_plugins = ["connected"]  # its fixtures


@pytest.mark.label_studio
def test_the_least_certain_is_handed_out_first(server, title, folder):
    push(server, title, folder)

    number = number_of(server, title)
    assert pictured(server.ask("GET", f"/api/projects/{number}/next")) == "0"
    assert label_all(server, number) == list("0123456")


@pytest.mark.label_studio
def test_each_task_has_a_prediction_with_its_score_and_version(server, title, folder):
    push(server, title, folder)

    for task in all_tasks(server, title):
        (prediction,) = task["predictions"]
        assert prediction["result"][0]["value"] == {"choices": [CLASSES[0]]}
        assert prediction["score"] == pytest.approx(int(pictured(task)) / 10)
        assert prediction["model_version"] == "one"


@pytest.mark.label_studio
def test_the_project_that_is_made_offers_the_classes_of_the_model(server, title, folder):
    push(server, title, folder)

    number = number_of(server, title)
    about = server.ask("GET", f"/api/projects/{number}/")
    assert about["parsed_label_config"]["label"]["labels"] == CLASSES
    assert about["model_version"] == "one"  # whose predictions people see


@pytest.mark.label_studio
def test_who_labels_blind_never_sees_a_prediction(server, title, folder):
    push(server, title, folder, blind="25")
    push(server, title, folder, version="two", blind="36")

    for task in all_tasks(server, title):
        assert task["data"]["blind"] is (pictured(task) in "25")
        assert len(task["predictions"]) == (0 if task["data"]["blind"] else 2)


@pytest.mark.label_studio
@pytest.mark.parametrize("form", ["JSON", "JSON_MIN", "CSV", "TSV"])
def test_every_export_tells_who_labelled_blind_why_they_were_asked_and_the_scene(server, title, folder, tmp_path, form):
    cameras = {f"picture {n}.png": f"cam {int(n) // 3}" for n in "12345"}
    push(server, title, folder, blind="25", scenes=cameras)
    for task in all_tasks(server, title):
        annotate(server, task["id"])
    number = number_of(server, title)
    content = server.send("GET", f"/api/projects/{number}/export", params={"exportType": form})
    (tmp_path / "export").write_bytes(content)

    table = read_export(tmp_path / "export", keep=[BLIND])

    assert dict(zip(table["file"].str[-5], table["blind"].map(is_blind), strict=True)) == {
        n: n in "25" for n in "0123456"
    }
    by_scene = read_export(tmp_path / "export", scene_key="scene", keep=[BLIND])
    told = dict(zip("picture " + by_scene["file"].str[-5] + ".png", by_scene["scene"], strict=True))
    assert told == dict.fromkeys((f"picture {n}.png" for n in "0123456"), "") | cameras
    assert set(by_scene["label"]) == set(table["label"]) == {CLASSES[0]}
    assert set(table["queue"]) == {"least certain"}
    assert set(table["project"]) == {str(number) if form == "JSON" else ""}


@pytest.mark.label_studio
def test_pictures_of_equal_content_are_one_task(server, title, folder):
    shutil.copy(folder / "picture 3.png", folder / "same 3.png")

    push(server, title, folder)

    assert len(all_tasks(server, title)) == 7


@pytest.mark.label_studio
def test_a_picture_that_changes_on_the_way_is_not_sent(server, title, folder, monkeypatch):
    read = tasks.read_tasks
    (folder / "new").write_bytes((folder / "picture 1.png").read_bytes())

    def replace_a_picture_meanwhile(*arguments):
        (folder / "new").replace(folder / "picture 2.png")
        return read(*arguments)

    monkeypatch.setattr(tasks, "read_tasks", replace_a_picture_meanwhile)
    with pytest.raises(Problem, match="changed") as problem:
        push(server, title, folder)

    assert problem.value.details == ["picture 2.png"]
    assert all_tasks(server, title) == []


@pytest.mark.label_studio
def test_a_class_that_cannot_be_chosen_is_never_sent(server, title, folder):
    server.ask("POST", "/api/projects/", json={"title": title, "label_config": make_config(CLASSES[:2])})

    push(server, title, folder, label="7")

    assert all(task["predictions"] == [] for task in all_tasks(server, title))
    assert "without: 7" in describe(find_project(server, 0, title, CLASSES), CLASSES)


@pytest.mark.label_studio
def test_pictures_have_states(server, title, folder):
    with Image.open(folder / "picture 0.png") as image:
        image.save(folder / "picture 8.tif")
    push(server, title, folder)
    annotate(server, all_tasks(server, title)[1]["id"])
    shutil.copy(folder / "picture 0.png", folder / "copy of 0.png")
    with Image.open(folder / "picture 0.png") as image:
        image.rotate(90).save(folder / "picture 9.png")

    pictures = read_images(folder, folder, Input(16)).sort_values("file")
    project = find_project(server, 0, title, CLASSES)
    trained = pictures[pictures["file"] == "picture 6.png"]
    states = tasks.tell_states(pictures, tasks.read_tasks(server, project, "one", folder), trained)
    newer = tasks.tell_states(pictures, tasks.read_tasks(server, project, "two", folder), trained)

    queued = ["queued", "annotated", "queued", "queued", "queued", "queued", "in the training set"]
    assert list(states) == [*queued, "refused", "new"]
    assert list(newer) == [*pd.Series(queued).replace("queued", "to be queued again"), "refused", "new"]


@pytest.mark.label_studio
def test_a_proxy_that_takes_small_requests_only_gets_small_ones(label_studio, title, folder, tmp_path_factory):
    pixels = np.random.default_rng(1).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture 8.png")  # 7 KB, and the least urgent
    nginx = tmp_path_factory.mktemp("nginx")
    with (
        pretend_label_studio() as neighbour,
        proxying(nginx, largest="3k", ls=label_studio.url, other=neighbour.url) as url,
    ):
        server = connect(Settings(_env_file=None, label_studio_url=f"{url}/ls", label_studio_api_key=label_studio.key))
        with pytest.raises(Problem, match="client_max_body_size") as problem:
            push(server, title, folder)
        found = all_tasks(server, title)
        images = [server.send("GET", server.path_of(task["data"]["image"])) for task in found]
        (folder / "picture 8.png").unlink()
        push(server, title, folder)

        assert [task["id"] for task in all_tasks(server, title)] == [task["id"] for task in found]
    assert [line.startswith("picture 8.png") for line in problem.value.details] == [True]
    assert images == [(folder / f"picture {number}.png").read_bytes() for number in range(7)]
    assert all(task["data"]["image"].startswith("/ls/data/upload/") for task in found)
    assert neighbour.requests == []
