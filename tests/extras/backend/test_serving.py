"""The model that is served: that of the last commit, and no other."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
from backends import ask, commit_model, config, labels, train_digits, upload
from servers import wait_until

from extras.backend import serving as module
from extras.backend.task_images import TaskImages
from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier, load_classifier, save_classifier
from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace

pytest_plugins = ["served"]  # its fixtures


def test_a_model_is_served_from_its_commit_on_and_no_other_before(serve, root, names):
    old, new = load_classifier((root / MODEL).read_bytes()), train_digits(seed=1)
    save_classifier(new, root / MODEL)
    backend, images = serve(), [upload(name) for name in names[:20]]
    expected = {old.version: labels(ask(backend, images))}
    stop, answers = Event(), []

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(ask(backend, images))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        try:
            assert backend.post("/setup").json() == {"model_version": old.version}
            assert Workspace(root).commit_of("HEAD")[:7] in backend.get("/versions").json()["reason"]
            (root / MODEL).unlink()
            assert backend.post("/setup").json() == {"model_version": old.version}
            commit_model(root, new)
            wait_until(lambda: backend.post("/setup").json() == {"model_version": new.version})
            expected[new.version] = labels(ask(backend, images))
        finally:
            stop.set()
        for thread in asking:
            thread.result()
    assert expected[old.version] != expected[new.version]
    for results in answers:
        assert len({result["model_version"] for result in results}) == 1
        assert labels(results) == expected[results[0]["model_version"]]


def test_who_labels_blind_cannot_fetch_the_opinion(backend, names):
    images, flags = [upload(name) for name in names[:5]], [True, "True", False, None, ["true"]]
    tasks = [{"data": {"photo": image, "blind": flag}} for image, flag in zip(images, flags, strict=True)]

    answer = backend.post("/predict", json={"tasks": tasks, "label_config": config()})

    assert labels(answer.json()["results"]) == [None, None, *labels(ask(backend, images))[2:]]
    assert None not in labels(ask(backend, images))


def test_the_images_of_a_large_request_are_not_in_memory_all_at_once(backend, names, monkeypatch):
    images, read, sizes = [upload(name) for name in names[:7]], TaskImages.read, []
    expected = labels(ask(backend, images))

    def note(self, images, *rest):
        sizes.append(len(images))
        return read(self, images, *rest)

    monkeypatch.setattr(TaskImages, "read", note)
    monkeypatch.setattr(Input, "batch", 3)

    assert labels(ask(backend, images)) == expected
    assert sizes == [3, 3, 1]


def test_without_a_committed_model_it_says_what_to_do_and_serves_the_first_one(serve, root, names):
    workspace = Workspace(root)
    first = workspace.commit_of("HEAD")
    workspace.git("checkout", "--quiet", "--orphan", "new")
    backend = serve()
    assert backend.get("/health").json() == {"status": "UP", "model_version": None}
    body = {"tasks": [], "label_config": config()}
    for answer in (backend.post("/setup"), backend.post("/predict", json=body)):
        assert answer.status_code == 503
        assert "dvc repro" in answer.json()["detail"]
    workspace.git("reset", "--soft", first)
    assert labels(ask(backend, [upload(names[0])])) != [None]


def test_the_last_good_model_answers_while_that_of_the_last_commit_cannot_be_had(serve, root, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)
    backend, workspace = serve(), Workspace(root)
    before = backend.post("/setup").json()
    new = train_digits(seed=1)
    commit_model(root, new)
    cache = root / ".dvc/cache"
    cache.rename(root / "lost")
    assert backend.post("/setup").json() == before
    assert "neither in DVC's cache nor in its remote" in backend.get("/versions").json()["reason"]
    (root / "lost").rename(cache)
    assert backend.post("/setup").json() == {"model_version": new.version}
    assert workspace.commit_of("HEAD")[:7] in backend.get("/versions").json()["reason"]


def test_a_model_that_learnt_nothing_but_nan_gives_no_score(backend, names, monkeypatch):
    monkeypatch.setattr(Classifier, "probabilities", lambda _, pixels: np.full((len(pixels), 10), np.nan))
    assert labels(ask(backend, [upload(names[0])])) == [None]
