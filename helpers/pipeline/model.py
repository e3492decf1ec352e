"""The classifier: its network, its file, its predictions."""

import atexit
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from helpers.decode import MODES, read_pixels
from helpers.problems import Problem

WEIGHTS, DESCRIPTION, INFO = "weights.safetensors", "classifier.json", "model.yaml"
LARGEST_MEMBER = 2**30  # bytes; a compressed archive can hold far more than its own size
BATCH = 256  # images decoded and predicted at once
SMALLEST = float(np.finfo(np.float32).tiny)  # a probability that was rounded to 0 has a finite logarithm


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


def build_network(description: Description) -> nn.Sequential:
    """Three strided convolutions and a linear layer: [N, C, H, W] in 0..1 to logits [N, classes], any H and W.

    The first layer brings pictures to zero mean and unit variance with statistics of its own training set.
    """
    channels = [3 if description.colour == "rgb" else 1, *(description.width * n for n in (1, 2, 4))]
    layers: list[nn.Module] = [nn.BatchNorm2d(channels[0], affine=False)]
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels[-1], len(description.classes))]
    return nn.Sequential(*layers)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [N, H, W, C] to float32 [N, C, H, W] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div(255)


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Cross-entropy `loss` in nats and `accuracy` of class probabilities [N, classes] against class numbers [N]."""
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1).astype(np.float64)
    return {
        "loss": float(-np.log(of_label.clip(SMALLEST)).mean()),
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities [N, classes] as they would be if the logits were divided by `temperature`."""
    powers = (probabilities / probabilities.max(axis=1, keepdims=True)) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature with which a confidence of 80 % means right 8 times in 10.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599): the number that gives the labels the least cross-entropy.
    Labels are smoothed by the weight of one image (Platt 1999), or a model that errs nowhere would be made ever surer.

    Parameters
    ----------
    probabilities : ndarray of float, shape (N, classes)
        Whatever temperature they were scaled with before, `temper` with the fitted one gives the same.
    labels : ndarray of int, shape (N,)

    Returns
    -------
    float
        Within 0.01..100; 1 where there are no images.
    """
    if not len(labels):
        return 1.0
    probabilities = probabilities.astype(np.float64).clip(SMALLEST)
    logs, smoothing = np.log(probabilities), 1 / (len(labels) + 1)
    of_labels = np.take_along_axis(logs, labels[:, None], axis=1)
    reached = (1 - smoothing) * of_labels.mean() + smoothing * logs.mean()
    low, high = 0.01, 100.0
    # The cross-entropy has one minimum: where the model expects the log-probability that the labels reach.
    for _ in range(20):
        temperature = (low * high) ** 0.5
        expected = (temper(probabilities, temperature) * logs).sum(axis=1).mean()
        if expected > reached:  # too sure
            low = temperature
        else:
            high = temperature
    return temperature


def cross_fit(probabilities: np.ndarray, labels: np.ndarray, sha256: Iterable[str]) -> np.ndarray:
    """Give each half of the images the temperature that is fitted on the other half, to judge how sure a model is.

    A model keeps a temperature that was fitted on held-out images, and on the same images it would look better than it
    is. That one leaves no trace here: the halves are fitted anew. No prediction changes.

    Parameters
    ----------
    probabilities : ndarray of float, shape (N, classes)
    labels : ndarray of int, shape (N,)
        -1 where an image takes no part in the fit.
    sha256 : iterable of str
        Of the image files, hexadecimal. The content alone decides in which half an image is.

    Returns
    -------
    ndarray of float64, shape (N, classes)
        Rows sum to 1. A half whose other half has no images to fit on keeps the probabilities that it has.
    """
    probabilities = probabilities.astype(np.float64)
    # The last digit: the first ones decide which pictures are labelled at random, and those belong in both halves.
    half = np.array([int(digest[-1], 16) % 2 for digest in sha256], dtype=int)
    judged = np.empty_like(probabilities)
    for this in (0, 1):
        other = (half != this) & (labels >= 0)
        temperature = fit_temperature(probabilities[other], labels[other])
        judged[half == this] = temper(probabilities[half == this], temperature)
    return judged


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
        network = build_network(description)
        network.load_state_dict(weights)
    except Exception as error:  # a hostile file can make any of the parsers above fail in its own way
        raise Problem(f"{name} is not a classifier that this project wrote.", [repr(error)]) from None
    return Classifier(network, description)


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(f"./{name}")
    if not member.isfile() or member.size > LARGEST_MEMBER:
        raise ValueError(f"{name} is no file or larger than {LARGEST_MEMBER} bytes")
    return archive.extractfile(member).read()  # type: ignore[union-attr]
