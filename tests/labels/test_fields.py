"""Which field of an export holds the image, which the label, and which file an image stands for."""

import pytest
from exports import UPLOAD, Task, also, annotation, in_all_formats, read, task

from helpers.problems import Problem


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("/data/upload/3/15a36192-100.jpg", "15a36192-100.jpg"),
        ("/ls/data/upload/3/15a36192-deadbeef-mars.JPG", "15a36192-deadbeef-mars.JPG"),
        ("/data/upload/15a36192-100.jpg#a/b", "15a36192-100.jpg"),
        ("https://host/ls/data/upload/3/86988673-%E6%9C%A8%E6%98%9F.jpg?x=/y", "86988673-木星.jpg"),
        ("/data/local-files/?d=round%202/a%23b/mars%20rover.jpg", "round 2/a#b/mars rover.jpg"),
        ("http://host/data/local-files/?d=c/img.jpg", "c/img.jpg"),
        ("s3://bucket/train/mars%20rover.jpg", "train/mars rover.jpg"),
        ("gs://bucket/train/mars rover #1.jpg", "train/mars rover #1.jpg"),
        ("azure-blob://container/c/img.jpg", "c/img.jpg"),
        ("https://example.org/a/b/img.jpg?X-Amz-Signature=a/b#frag", "a/b/img.jpg"),
        ("https://example.org/img.jpg#a/b", "img.jpg"),
        ("https://example.org/m/show?id=1&size=a/b#top", "m/show%3Fid=1&size=a%2Fb"),
        ("https://example.org/m/show?id=1%2F2", "m/show%3Fid=1%2F2"),
        ("https://example.org/m/1234", "m/1234"),
        ("HTTPS://example.org/img.jpg#a/b", "img.jpg"),
        ("HTTPS://example.org/m/show?id=1", "m/show%3Fid=1"),
        ("s3://bucket/what?.jpg", "what"),
        ("data:image/png;base64,iVBORw0KGgo/AAAA==", ""),
        ("Data:image/png;base64,iVBORw0KGgo/AAAA==", ""),
    ],
)
@in_all_formats
def test_the_file_of_an_image(tmp_path, form, image, file):
    table = read(tmp_path, task(image, annotation("Mars")), form=form)
    assert table[["image", "file"]].to_numpy().tolist() == [[image, file]]


@in_all_formats
def test_the_image_is_found_by_what_it_looks_like(tmp_path, form):
    fields = [
        {"photo": f"/data/local-files/?d={day}.jpg", "page": "https://a.b/c", "notes": "dark"} for day in range(4)
    ]
    fields[1]["notes"] = "https://a.b/like-this-one.jpg"
    tasks = [{"data": data, "annotations": [annotation("Mars")]} for data in fields]
    table = read(tmp_path, *tasks, form=form, label_control="choice")
    assert table["image"].tolist() == [f"/data/local-files/?d={day}.jpg" for day in range(4)]


@in_all_formats
def test_two_fields_with_images_are_told_apart_by_the_user(tmp_path, form):
    pair = task("https://a.org/left.jpg", annotation("Mars"), right="https://a.org/right.jpg")
    with pytest.raises(Problem, match=r"(?s)Set image_key.*image.*right"):
        read(tmp_path, pair, form=form)
    assert read(tmp_path, pair, form=form, image_key="right", label_control="choice")["file"].tolist() == ["right.jpg"]
    with pytest.raises(Problem, match=r"(?s)no 'middle'.*Set image_key.*image.*right"):
        read(tmp_path, pair, form=form, image_key="middle")


@in_all_formats
def test_an_export_without_images_lists_its_fields(tmp_path, form):
    with pytest.raises(Problem, match=r"(?s)holds images.*Set image_key.*image"):
        read(tmp_path, task("no image at all", annotation("Mars"), sound="a.wav"), form=form)


@in_all_formats
@pytest.mark.parametrize("image_key", ["", "images"])
def test_tasks_with_several_images_are_refused(tmp_path, form, image_key):
    several = [f"https://a.org/{number}.jpg" for number in range(3)]
    tasks: list[Task] = [{"data": {"images": several, "notes": "dark"}, "annotations": [annotation("Mars")]}]
    with pytest.raises(Problem, match=r"(?s)several images are not supported.*images: a list") as caught:
        read(tmp_path, *tasks, form=form, image_key=image_key)
    assert "undefined" not in str(caught.value)
    tasks[0]["data"] |= {"image": "https://a.org/0.jpg"}
    if not image_key:
        assert read(tmp_path, *tasks, form=form, label_control="choice")["file"].tolist() == ["0.jpg"]


@in_all_formats
def test_a_field_that_the_export_does_not_have_is_not_looked_for_among_hidden_ones(tmp_path, form):
    tasks = [task("no image at all", annotation("Mars"))]
    with pytest.raises(Problem, match="the export has: image") as caught:
        read(tmp_path, *tasks, form=form, image_key="photo")
    assert "undefined" not in str(caught.value)
    early = {"data": {"$undefined$": UPLOAD.format("early")}, "annotations": [annotation("Mars")]}
    assert read(tmp_path, early, form=form, image_key="photo")["image"].tolist() == [UPLOAD.format("early")]


@in_all_formats
def test_files_that_were_uploaded_before_the_configuration_count(tmp_path, form):
    undefined = {"data": {"$undefined$": UPLOAD.format("early")}, "annotations": [annotation("Mars")]}
    later = task(UPLOAD.format("later"), annotation("Moon"))
    for tasks, files in (([undefined], ["early"]), ([undefined, undefined, undefined, later], ["early", "later"])):
        assert read(tmp_path, *tasks, form=form)["image"].tolist() == [UPLOAD.format(name) for name in files]


@in_all_formats
def test_a_field_of_the_task_is_not_taken_for_the_label(tmp_path, form):
    tasks = [
        task(UPLOAD.format("a"), annotation("Mars"), camera="left"),
        task(UPLOAD.format("b"), annotation(), camera="left"),
        task(UPLOAD.format("c"), camera="right"),
    ]
    assert read(tmp_path, *tasks, form=form)["label"].tolist() == ["Mars", None, None]


@in_all_formats
def test_several_controls_are_told_apart_by_the_user(tmp_path, form):
    both = also(annotation("Mars"), "quality", choices=["good"])
    tasks = [task(UPLOAD.format(name), also(both, "stars", rating=4)) for name in "ab"]
    tasks.append(task(UPLOAD.format("c"), annotation("Moon")))
    with pytest.raises(Problem, match=r"(?s)label_control.*choice.*quality"):
        read(tmp_path, *tasks, form=form)
    assert read(tmp_path, *tasks, form=form, label_control="quality")["label"].tolist() == ["good", "good", None]
    with pytest.raises(Problem, match=r"(?s)no 'planet'.*Set label_control.*choice.*quality"):
        read(tmp_path, *tasks, form=form, label_control="planet")


@in_all_formats
def test_a_named_control_may_still_be_empty(tmp_path, form):
    assert read(tmp_path, task(UPLOAD.format("a")), form=form, label_control="choice")["reason"].tolist() == [
        "not annotated"
    ]


@in_all_formats
def test_it_is_known_why_an_image_was_asked_for(tmp_path, form):
    sent = {"queue": 0.5, "queued_by": "35a9"}
    table = read(
        tmp_path,
        task(UPLOAD.format("a"), annotation("Mars"), queue_reason="chance", **sent),
        task(UPLOAD.format("b"), annotation("Mars"), queue_reason="least certain", **sent),
        task(UPLOAD.format("c"), annotation("Mars"), queue_reason="near-duplicate", **sent),
        task(UPLOAD.format("d"), annotation("Mars")),
        task(UPLOAD.format("e"), annotation("Mars"), queue_reason="chance", **sent),
        task(UPLOAD.format("e"), annotation("Mars"), queue_reason="least certain", **sent),
        form=form,
    )
    assert table["queue"].tolist() == ["chance", "least certain", "", "", ""]
    assert table["label"].tolist() == ["Mars"] * 5, "the reason is not taken for the control"


def test_the_project_of_a_task_is_known_from_json_alone(tmp_path):
    numbers = [("a", 3), ("b", 4), ("b", 5), ("c", ["no number"])]
    tasks = [task(UPLOAD.format(name), annotation("Mars")) | {"project": number} for name, number in numbers]
    assert read(tmp_path, *tasks)["project"].tolist() == ["3", "", ""]
    assert read(tmp_path, *tasks, form="JSON-MIN")["project"].tolist() == ["", "", ""]
