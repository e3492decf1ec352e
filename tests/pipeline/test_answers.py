"""The answers that a model has given are read again bit for bit, or not at all."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.pipeline import cache, evaluate
from helpers.pipeline.answers import read_answers
from helpers.pipeline.model import Classifier, load_classifier
from helpers.pipeline.paths import INDEX, MODEL, PREDICTIONS, RAW, read_table


def classifier_of(folder: Path) -> Classifier:
    return load_classifier((folder / MODEL).read_bytes())


def test_recorded_answers_are_those_of_the_model_bit_for_bit(trained):
    index, classifier = read_table((trained / INDEX).read_bytes()), classifier_of(trained)
    held_out = index[index["split"] == "held-out"]
    predicted = classifier.predict(trained, trained / RAW, held_out)
    recorded = read_answers((trained / PREDICTIONS).read_bytes(), classifier)
    assert list(recorded.index) == list(held_out["sha256"])
    pd.testing.assert_frame_equal(recorded.set_axis(predicted.index), predicted, check_exact=True)


def with_column(name: str, change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Change the values of a column of a table."""

    def edit(file: bytes) -> bytes:
        table = read_table(file)
        return bytes(table.assign(**{name: table[name].map(change)}).to_csv(index=False).encode())

    return edit


def packed(*values: float) -> str:
    return b64encode(np.array(values, "<f4").tobytes()).decode()


FAULTS: dict[str, Callable[[bytes], bytes | None]] = {
    "it is missing": lambda file: None,
    "it is empty": lambda file: b"",
    "it has no rows": lambda file: file.splitlines(keepends=True)[0],
    "it was cut off": lambda file: file[: len(file) // 2],
    "it is no table": lambda file: bytes(range(256)) * 8,
    "an older template wrote it": lambda file: read_table(file).iloc[:, :4].to_csv(index=False).encode(),
    "another model gave it": with_column("model", lambda _: "0123456789ab"),
    "two models gave it": lambda file: file.replace(read_table(file)["model"][0].encode(), b"0123456789ab", 1),
    "pictures had other pixels": with_column("pixels", lambda version: f"{version}.1"),
    "a class is missing": with_column("probabilities", lambda _: packed(1)),
    "there is a class too many": with_column("probabilities", lambda _: packed(0.5, 0.25, 0.25)),
    "it holds no probabilities": with_column("probabilities", lambda _: packed(0.5, 7)),
    "it holds no numbers": with_column("probabilities", lambda _: packed(0.5, float("nan"))),
    "it is no Base64": with_column("probabilities", lambda row: f"!{row[1:]}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_record_that_is_not_that_of_the_model_holds_no_answers(trained, fault):
    recorded = read_answers(FAULTS[fault]((trained / PREDICTIONS).read_bytes()), classifier_of(trained))
    assert recorded.empty
    assert list(recorded) == ["bright", "dark"]
    assert set(recorded.dtypes) == {np.dtype(np.float32)}


def test_a_change_of_how_pictures_are_read_makes_recorded_answers_void(trained, monkeypatch):
    assert len(read_answers((trained / PREDICTIONS).read_bytes(), classifier_of(trained)))
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert read_answers((trained / PREDICTIONS).read_bytes(), classifier_of(trained)).empty
    evaluate.main()
    assert len(read_answers((trained / PREDICTIONS).read_bytes(), classifier_of(trained)))
