"""A comparison asks no model twice about a picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image
from round_steps import version

from helpers.pipeline.model import Classifier
from helpers.pipeline.paths import PREDICTIONS
from helpers.round.comparing import compare_models
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce


@pytest.fixture
def asked(monkeypatch) -> dict[str, int]:
    """The number of pictures that each version of the model predicts."""
    numbers: dict[str, int] = {}
    predict = Classifier.predict

    def count(classifier, root, folder, images):
        numbers[classifier.version] = numbers.get(classifier.version, 0) + len(images)
        return predict(classifier, root, folder, images)

    monkeypatch.setattr(Classifier, "predict", count)
    return numbers


@contextmanager
def without_records(workspace: Workspace) -> Iterator[None]:
    """The predictions in the workspace are gone, and those of the last commit from DVC's cache and remote, too."""
    outs = yaml.safe_load(workspace.git("show", "HEAD:dvc.lock"))["stages"]["evaluate"]["outs"]
    (md5,) = [out["md5"] for out in outs if out["path"] == PREDICTIONS]
    storages = workspace.root / ".dvc/cache", workspace.root.with_name("demo-storage")
    files = [workspace.root / PREDICTIONS, *(each / "files/md5" / md5[:2] / md5[2:] for each in storages)]
    for file in files:
        file.rename(f"{file}.lost")
    yield
    for file in files:
        Path(f"{file}.lost").rename(file)


@pytest.mark.slow
def test_models_predict_only_the_pictures_that_they_have_not_answered(tiny, asked):
    for number in range(20):
        Image.new("L", (8, 9 + number), 77).save(tiny.raw / "dark" / f"more{number}.png")
    assert reproduce(tiny) == "trained"
    with without_records(tiny):
        predicted = compare_models(tiny)
    images = len(predicted.scores)
    assert asked == {predicted.new: images, predicted.old: images}

    asked.clear()
    read = compare_models(tiny)
    unknown = (read.scores["population"] == "new").sum()
    assert 0 < unknown < images
    assert asked == {version(tiny): 0, read.old: unknown}
    pd.testing.assert_frame_equal(read.scores, predicted.scores)
