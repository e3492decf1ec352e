"""The model file, and the predictions of the model in it."""

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
    """What a classifier is, apart from its weights.

    Attributes
    ----------
    classes : tuple of str
        The labels, in the order of the network's outputs.
    image_size : int
        Width and height of its input in pixels.
    colour : {'rgb', 'grey'}
        Three input channels or one.
    width : int
        Channels of its first convolution.
    trained_on : dict of str to int or str
        The number of training images and the sha256 of their index.
    """

    classes: tuple[str, ...]
    image_size: int
    colour: str
    width: int
    trained_on: Mapping[str, int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = all(isinstance(n, int) and 0 < n <= 4096 for n in (self.image_size, self.width))
        labels = all(isinstance(label, str) for label in self.classes) and len(set(self.classes)) == len(self.classes)
        if not (sizes and labels and self.classes and self.colour in MODES):
            raise ValueError(f"not the description of a classifier: {self}")


@dataclass(frozen=True)
class Classifier:
    """A trained network with what is needed to use it on pictures.

    Attributes
    ----------
    network : nn.Sequential
        Takes what `to_tensor` gives, returns logits.
    description : Description
    """

    network: nn.Sequential
    description: Description

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change when, and only when, weights or description do."""
        return hashlib.sha256(b"".join(self._files().values())).hexdigest()[:12]

    def _files(self) -> dict[str, bytes]:
        text = json.dumps(asdict(self.description), indent=2, ensure_ascii=False) + "\n"
        return {WEIGHTS: save_tensors(self.network.state_dict()), DESCRIPTION: text.encode()}

    @torch.inference_mode()
    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Probability of each class for each picture.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (N, image_size, image_size, channels)

        Returns
        -------
        ndarray of float32, shape (N, classes)
            Rows sum to 1.
        """
        self.network.eval()
        device = next(self.network.parameters()).device
        batches = [self.network(to_tensor(pixels[i : i + BATCH]).to(device)) for i in range(0, len(pixels), BATCH)]
        logits = torch.cat(batches) if batches else torch.empty(0, len(self.description.classes))
        return logits.softmax(dim=1).cpu().numpy()

    def predict(self, folder: Path, files: Sequence[str]) -> pd.DataFrame:
        """Classify picture files, each decoded the way this classifier was trained.

        Parameters
        ----------
        folder : Path
            Where the files are.
        files : sequence of str
            Paths below `folder`.

        Returns
        -------
        DataFrame of float32, index `file`, one column per class
            Rows sum to 1.

        Raises
        ------
        OSError, ValueError
            A file that cannot be decoded: `helpers.decode.UNREADABLE`.
        """
        about = self.description

        def decode(file: str) -> np.ndarray:
            return read_pixels(folder / file, about.image_size, about.colour)

        with ThreadPoolExecutor() as pool:
            batches = [
                self.probabilities(np.stack(list(pool.map(decode, files[i : i + BATCH]))))
                for i in range(0, len(files), BATCH)
            ]
        rows = np.concatenate(batches) if batches else np.empty((0, len(about.classes)), dtype=np.float32)
        return pd.DataFrame(rows, index=pd.Index(files, name="file"), columns=list(about.classes))


def save_classifier(classifier: Classifier, path: Path) -> None:
    """Write a ``.bentomodel``: the same classifier gives the same bytes, whenever and wherever it is saved."""
    bentoml, tag = _import_bentoml(), f"classifier:{classifier.version}"
    with bentoml.models.create(tag) as model:
        for name, data in classifier._files().items():
            Path(model.path_of(name)).write_bytes(data)
    with tempfile.TemporaryDirectory() as folder:
        exported = bentoml.models.export_model(tag, str(Path(folder) / path.name))
        bentoml.models.delete(tag)
        path.parent.mkdir(parents=True, exist_ok=True)
        _strip_timestamps(Path(exported), path)


@cache
def _import_bentoml() -> ModuleType:
    # It reads both variables at import; without them it fills a store in the home folder and reports usage.
    home = tempfile.mkdtemp(prefix="bentoml-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update(BENTOML_HOME=home, BENTOML_DO_NOT_TRACK="True")
    return import_module("bentoml")


def _strip_timestamps(exported: Path, path: Path) -> None:
    with tarfile.open(exported) as source, tarfile.open(path, "w:xz") as target:
        for member in sorted(filter(tarfile.TarInfo.isfile, source), key=lambda m: m.name):
            data = source.extractfile(member).read()  # type: ignore[union-attr]
            if member.name.endswith(INFO):
                data = re.sub(rb"(?m)^creation_time: .*$", b"creation_time: '1980-01-01T00:00:00+00:00'", data)
            clean = tarfile.TarInfo(member.name)
            clean.size = len(data)
            target.addfile(clean, io.BytesIO(data))


def load_classifier(file: bytes, name: str = "the model") -> Classifier:
    """Read a ``.bentomodel`` without a model store, without unpacking it to disk and without pickle.

    Parameters
    ----------
    file : bytes
        What the file holds.
    name : str
        What to call it in an error.

    Raises
    ------
    Problem
        The bytes are not a classifier that `save_classifier` wrote.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(file)) as archive:
            about = json.loads(_read_member(archive, DESCRIPTION))
            weights = load_tensors(_read_member(archive, WEIGHTS))
        description = Description(**{**about, "classes": tuple(about["classes"])})
        channels = 3 if description.colour == "rgb" else 1
        network = build_network(channels, len(description.classes), description.width)
        network.load_state_dict(weights)
    except Exception as error:  # a hostile file can make any of the parsers above fail in its own way
        raise Problem(f"{name} is not a classifier that this project wrote.", [repr(error)]) from None
    return Classifier(network, description)


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(f"./{name}")
    if not member.isfile() or member.size > LARGEST_MEMBER:
        raise ValueError(f"{name} is no file or larger than {LARGEST_MEMBER} bytes")
    return archive.extractfile(member).read()  # type: ignore[union-attr]
