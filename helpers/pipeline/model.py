"""The classifier, its predictions and its file."""

import atexit
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from helpers.decode import MODES, read_pixels
from helpers.pipeline.network import build_network, to_tensor
from helpers.problems import Problem

WEIGHTS, DESCRIPTION, INFO = "weights.safetensors", "classifier.json", "model.yaml"
LARGEST_MEMBER = 2**30  # bytes; a compressed archive can hold far more than its own size
BATCH = 256  # images decoded and predicted at once


@dataclass(frozen=True)
class Description:
    """A classifier apart from its weights."""

    classes: tuple[str, ...]  # the labels, in the order of the network's outputs
    image_size: int  # width and height of its input in pixels
    colour: str  # rgb or grey: three input channels or one
    width: int  # channels of its first convolution
    trained_on: Mapping[str, int | str] = field(default_factory=dict)  # images: their number; sha256: of their index

    def __post_init__(self) -> None:
        sizes = all(isinstance(n, int) and 0 < n <= 4096 for n in (self.image_size, self.width))
        labels = all(isinstance(label, str) for label in self.classes) and len(set(self.classes)) == len(self.classes)
        if not (sizes and labels and self.classes and self.colour in MODES):
            raise ValueError(f"not the description of a classifier: {self}")


@dataclass(frozen=True)
class Classifier:
    """A trained network with everything that it needs to predict pictures."""

    network: nn.Sequential  # maps the output of `to_tensor` to logits
    description: Description

    @property
    def files(self) -> dict[str, bytes]:
        """The files in its ``.bentomodel``, except for BentoML's own."""
        text = json.dumps(asdict(self.description), indent=2, ensure_ascii=False) + "\n"
        return {WEIGHTS: save_tensors(self.network.state_dict()), DESCRIPTION: text.encode()}

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change if, and only if, weights or description change."""
        return hashlib.sha256(b"".join(self.files.values())).hexdigest()[:12]

    @torch.inference_mode()
    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 [N, classes] for pictures uint8 [N, image_size, image_size, channels]."""
        self.network.eval()
        device = next(self.network.parameters()).device
        rows = [np.empty((0, len(self.description.classes)), np.float32)]
        for start in range(0, len(pixels), BATCH):
            logits = self.network(to_tensor(pixels[start : start + BATCH]).to(device))
            rows.append(logits.softmax(dim=1).cpu().numpy())
        return np.concatenate(rows)

    def predict(self, folder: Path, files: Sequence[str]) -> pd.DataFrame:
        """Return the class probabilities of picture files below `folder`: float32, index `file`, one column per class.

        Files are decoded like the training images. One that cannot be decoded raises one of
        `helpers.decode.UNREADABLE`.
        """
        about = self.description

        def decode(file: str) -> np.ndarray:
            return read_pixels(folder / file, about.image_size, about.colour)

        rows = [np.empty((0, len(about.classes)), np.float32)]
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(files), BATCH):
                pixels = np.stack(list(pool.map(decode, files[start : start + BATCH])))
                rows.append(self.probabilities(pixels))
        return pd.DataFrame(np.concatenate(rows), index=pd.Index(files, name="file"), columns=list(about.classes))


def save_classifier(classifier: Classifier, path: Path) -> None:
    """Write a ``.bentomodel``: the same classifier gives the same bytes, whenever and wherever it is saved."""
    bentoml, tag = _import_bentoml(), f"classifier:{classifier.version}"
    with bentoml.models.create(tag) as model:
        for name, data in classifier.files.items():
            Path(model.path_of(name)).write_bytes(data)
    with tempfile.TemporaryDirectory() as folder:
        exported = bentoml.models.export_model(tag, str(Path(folder) / path.name))
        bentoml.models.delete(tag)
        path.parent.mkdir(parents=True, exist_ok=True)
        _strip_times(Path(exported), path)


@cache
def _import_bentoml() -> ModuleType:
    """Import BentoML with a store of its own: by default it fills the home folder and reports usage."""
    home = tempfile.mkdtemp(prefix="bentoml-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update(BENTOML_HOME=home, BENTOML_DO_NOT_TRACK="True")
    return import_module("bentoml")


def _strip_times(exported: Path, path: Path) -> None:
    """Copy an archive with its files sorted by name, without times and owners."""
    with tarfile.open(exported) as source, tarfile.open(path, "w:xz") as target:
        for member in sorted(source, key=lambda member: member.name):
            if not member.isfile():
                continue
            data = source.extractfile(member).read()  # type: ignore[union-attr]
            if member.name.endswith(INFO):
                data = re.sub(rb"(?m)^creation_time: .*$", b"creation_time: '1980-01-01T00:00:00+00:00'", data)
            clean = tarfile.TarInfo(member.name)
            clean.size = len(data)
            target.addfile(clean, io.BytesIO(data))


def load_classifier(file: bytes, name: str = "the model") -> Classifier:
    """Read the bytes of a ``.bentomodel`` without a model store, without unpacking it to disk and without pickle.

    Raises
    ------
    Problem
        `save_classifier` did not write these bytes. The message calls the file by `name`.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(file)) as archive:
            about = json.loads(_read_member(archive, DESCRIPTION))
            weights = load_tensors(_read_member(archive, WEIGHTS))
        description = Description(**{**about, "classes": tuple(about["classes"])})
        channels = 3 if description.colour == "rgb" else 1
        network = build_network(channels, len(description.classes), description.width)
        network.load_state_dict(weights)
    except Exception as error:  # a hostile file can make each parser above fail in its own way
        raise Problem(f"{name} is not a classifier that this project wrote.", [repr(error)]) from None
    return Classifier(network, description)


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(f"./{name}")
    if not member.isfile() or member.size > LARGEST_MEMBER:
        raise ValueError(f"{name} is no file or larger than {LARGEST_MEMBER} bytes")
    return archive.extractfile(member).read()  # type: ignore[union-attr]
