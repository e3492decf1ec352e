"""What the tests of the model backend share: a workspace of digits, its server, and questions of Label Studio."""

from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx2
import numpy as np
import pandas as pd
from dvc.repo import Repo
from sklearn.datasets import load_digits

from extras.label_studio.client import Server
from helpers.pipeline.dataset import Dataset
from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier, Description, save_classifier
from helpers.pipeline.params import TrainParams, read_params
from helpers.pipeline.paths import MODEL
from helpers.pipeline.train import train
from helpers.workspace import Workspace

PROJECT = Path(__file__).parents[3]
CLASSES = [str(digit) for digit in range(10)]


def digits(count: int) -> np.ndarray:
    """The first of scikit-learn's digits: uint8, shape (count, 8, 8)."""
    return (load_digits().images[:count] * 255 / 16).astype(np.uint8)


def train_digits(classes: Sequence[str] = CLASSES, seed: int = 0) -> Classifier:
    """A model that knows the digits, under other names if they are given, after a tenth of a second of training."""
    labels = [classes[digit] for digit in load_digits().target[:500]]
    index = pd.DataFrame({"label": labels, "split": ["held-out"] * 100 + ["train"] * 400})
    description = Description(tuple(classes), Input(16, "grey"))
    params = read_params(TrainParams, PROJECT / "params.yaml")
    pictures = digits(500).repeat(2, axis=1).repeat(2, axis=2)[..., np.newaxis]
    params = params.model_copy(update={"epochs": 3, "width": 8, "seed": seed})
    classifier, _ = train(Dataset(pictures, description.input, params), index, description)
    return classifier


def commit_model(root: Path, model: Classifier) -> None:
    """Let DVC and git take a model for the one that was trained."""
    save_classifier(model, root / MODEL)
    with chdir(root), Repo() as repo:
        repo.commit("train", force=True)
    Workspace(root).git("commit", "--quiet", "--message", "Another model", "dvc.lock")


def choices(*labels: str) -> str:
    return "".join(f'<Choice value="{label}"/>' for label in labels)


def config(choices: str = choices(*CLASSES)) -> str:
    return (
        f'<View><Image name="picture" value="$photo"/><Choices name="digit" toName="picture">{choices}</Choices></View>'
    )


def upload(name: str) -> str:
    """The reference of an upload, whose stored name differs from the file's."""
    return f"/data/upload/3/{crc32(name.encode()):08x}-{name}"


def ask(backend: httpx2.Client, images: list[Any], label_config: str = config()) -> list[dict[str, Any]]:
    """Ask for predictions; gives the results after checking what holds for all of them."""
    tasks = [{"id": number, "data": {"photo": image}} for number, image in enumerate(images)]
    answer = backend.post("/predict", json={"tasks": tasks, "label_config": label_config})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert len(results) == len(images)
    predicted = [result for result in results if "error" not in result]
    assert all(one["score"] is None if not one["result"] else 0 <= one["score"] <= 1 for one in predicted)
    return results


def retrieve_predictions(server: Server, project: int) -> list[dict[str, Any]]:
    """Let Label Studio ask the model that is connected about all tasks of a project; gives these."""
    action = {"id": "retrieve_tasks_predictions", "project": project}
    server.ask("POST", "/api/dm/actions", params=action, json={"selectedItems": {"all": True, "excluded": []}})
    return tasks_of(server, project)


def tasks_of(server: Server, project: int) -> list[dict[str, Any]]:
    fields = {"project": project, "fields": "all", "page_size": 100}
    return server.ask("GET", "/api/tasks", params=fields)["tasks"]


def labels(results: list[dict[str, Any]]) -> list[str | None]:
    return [result["result"][0]["value"]["choices"][0] if result.get("result") else None for result in results]
