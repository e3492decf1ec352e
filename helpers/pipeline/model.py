"""The classifier, its predictions and its file."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from helpers.decode import CHANNELS
from helpers.pipeline.calibration import softmax
from helpers.pipeline.pixels import Pixels, read_pictures
from helpers.problems import Problem

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]

GRAPH, DESCRIPTION, INFO = "model.onnx", "classifier.json", "model.yaml"
DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}  # of the operators in the ONNX standard
LARGEST_MEMBER = 2**30  # bytes; a compressed archive can hold far more than its own size
BATCH = 2**23  # bytes of pixels that are predicted at once


@dataclass(frozen=True)
class Description:
    """A classifier apart from its network."""

    classes: tuple[str, ...]  # the labels, in the order of the network's outputs
    image_size: int  # width and height of its input in pixels
    colour: str  # rgb or grey: three input channels or one
    mean: float = 0.0  # the network sees (pixel - mean) / scale
    scale: float = 255.0
    temperature: float = 1.0  # its logits are divided by it
    trained_on: Mapping[str, int | str] = field(default_factory=dict)  # images: their number; sha256: of their index

    def __post_init__(self) -> None:
        size = isinstance(self.image_size, int) and 0 < self.image_size <= 4096
        labels = all(isinstance(label, str) for label in self.classes) and len(set(self.classes)) == len(self.classes)
        numbers = np.isfinite([self.mean, self.scale, self.temperature]).all() and min(self.scale, self.temperature) > 0
        if not (size and labels and self.classes and numbers and self.colour in CHANNELS):
            raise ValueError(f"not the description of a classifier: {self}")

    @property
    def batch(self) -> int:
        """The number of pictures that are predicted at once, so that memory is bounded."""
        return max(1, BATCH // (self.image_size**2 * CHANNELS[self.colour]))

    def to_input(self, pixels: np.ndarray) -> np.ndarray:
        """Turn uint8 [N, H, W, C] into the network's input, float32 [N, C, H, W]."""
        images = (pixels.astype(np.float32) - np.float32(self.mean)) / np.float32(self.scale)
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


@dataclass(frozen=True)
class Classifier:
    """A trained network with everything that it needs to predict pictures; PyTorch is not needed any more."""

    graph: bytes  # ONNX, from pictures [N, C, H, W] to logits [N, classes]
    description: Description

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The files in its ``.bentomodel``, except for BentoML's own."""
        text = json.dumps(asdict(self.description), indent=2, ensure_ascii=False) + "\n"
        return {GRAPH: self.graph, DESCRIPTION: text.encode()}

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits that change if, and only if, network or description change."""
        return hashlib.sha256(b"".join(self.files.values())).hexdigest()[:12]

    @cached_property
    def _session(self) -> "InferenceSession":
        import onnxruntime  # takes 0.2 s, and only predicting needs it

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors, which are raised as well
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])

    def probabilities(self, pixels: np.ndarray | Pixels) -> np.ndarray:
        """Return float32 [N, classes] for pictures uint8 [N, image_size, image_size, channels]."""
        about = self.description
        name = self._session.get_inputs()[0].name
        rows = [np.empty((0, len(about.classes)), np.float32)]
        for start in range(0, len(pixels), about.batch):
            logits = self._session.run(None, {name: about.to_input(pixels[start : start + about.batch])})[0]
            rows.append(softmax(logits / about.temperature))
        return np.concatenate(rows)

    def predict(self, root: Path, folder: Path, images: pd.DataFrame) -> pd.DataFrame:
        """Return the class probabilities of pictures below a folder: float32, index `file`, one column per class.

        They are decoded like the training images, through the cache of the workspace at `root`; see `read_pictures`.
        """
        pixels = read_pictures(root, folder, images, self.description.image_size, self.description.colour)
        index = pd.Index(images["file"], name="file")
        return pd.DataFrame(self.probabilities(pixels), index=index, columns=list(self.description.classes))


def save_classifier(classifier: Classifier, path: Path) -> None:
    """Write a ``.bentomodel``: the same classifier gives the same bytes, whenever and wherever it is saved.

    BentoML's own export would note the time, its version and Python's.
    """
    info = {
        "name": "classifier",
        "version": classifier.version,
        "module": "",
        "labels": {},
        "options": {},
        "metadata": {},
        "context": {"framework_name": "", "framework_versions": {}, "bentoml_version": "", "python_version": ""},
        "signatures": {},
        "api_version": "v1",
        "creation_time": "1980-01-01T00:00:00+00:00",
    }
    files = classifier.files | {INFO: yaml.safe_dump(info).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:xz", preset=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def load_classifier(file: bytes, name: str = "the model") -> Classifier:
    """Read the bytes of a ``.bentomodel`` without a model store, without unpacking it to disk and without pickle.

    A `Problem`, which calls the file by its `name`, tells that `save_classifier` did not write them.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(file), mode="r:xz") as archive:
            about = json.loads(_read_member(archive, DESCRIPTION))
            graph = _read_member(archive, GRAPH)
        check_graph(graph)
        description = Description(**{**about, "classes": tuple(about["classes"])})
        classifier = Classifier(graph, description)
        # Whether it fits its description shows best in use.
        blank = np.zeros((1, description.image_size, description.image_size, CHANNELS[description.colour]), np.uint8)
        if classifier.probabilities(blank).shape != (1, len(description.classes)):
            raise ValueError(f"the network has other outputs than {len(description.classes)} classes")
    except Exception as error:  # a hostile file can make each parser above fail in its own way
        raise Problem(f"{name} is not a classifier that this project wrote.", [repr(error)]) from None
    return classifier


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(f"./{name}")
    if not member.isfile() or member.size > LARGEST_MEMBER:
        raise ValueError(f"{name} is no file or larger than {LARGEST_MEMBER} bytes")
    return archive.extractfile(member).read()  # type: ignore[union-attr]


def check_graph(graph: bytes) -> None:
    """See that an ONNX graph consists of standard operators and is complete; a ValueError tells what else it has.

    onnxruntime itself would read tensors from files that a graph names, and has operators of its own.
    """
    import onnx  # takes 0.1 s

    for message in _parts(onnx.load_model_from_string(graph)):
        if isinstance(message, onnx.NodeProto) and message.domain not in DOMAINS:
            raise ValueError(f"an operator outside the ONNX standard: {message.domain}.{message.op_type}")
        if isinstance(message, onnx.TensorProto) and message.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError("data in another file")


def _parts(message: Any) -> Iterator[Any]:
    """A protobuf message and all messages inside it."""
    yield message
    for field_, value in message.ListFields():
        if field_.message_type:
            for part in value if field_.is_repeated else [value]:
                yield from _parts(part)
