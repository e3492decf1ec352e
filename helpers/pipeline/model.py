"""The classifier, its predictions and its file."""

import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from helpers.pipeline.backbone import Backbone, feature_cache
from helpers.pipeline.cache import Records
from helpers.pipeline.calibration import softmax
from helpers.pipeline.graphs import check_graph, run_graph
from helpers.pipeline.input import Input
from helpers.pipeline.pixels import picture_cache
from helpers.problems import Problem

GRAPH, BACKBONE, DESCRIPTION, INFO = "model.onnx", "backbone.onnx", "classifier.json", "model.yaml"
LARGEST_MEMBER = 2**30  # bytes; a compressed archive can hold far more than its own size
# Weights hardly compress, and more effort takes seconds for a backbone.
QUICK = {"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**12, "depth": 1, "nice_len": 4}


@dataclass(frozen=True)
class Description:
    """A classifier apart from its networks."""

    classes: tuple[str, ...]  # the labels, in the order of the network's outputs
    input: Input
    temperature: float = 1.0  # the network's logits are divided by it
    trained_on: Mapping[str, int | str] = field(default_factory=dict)  # images: their number; sha256: of their index

    def __post_init__(self) -> None:
        labels = all(isinstance(label, str) for label in self.classes) and len(set(self.classes)) == len(self.classes)
        if not (labels and self.classes and np.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"not the description of a classifier: {self}")


@dataclass(frozen=True)
class Classifier:
    """A trained network with everything that it needs to predict pictures; PyTorch is not needed any more."""

    graph: bytes  # ONNX, from pictures [N, C, H, W] or from features of the backbone to logits [N, classes]
    description: Description
    backbone: Backbone | None = None

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The files in its ``.bentomodel``, except for BentoML's own."""
        description, files = asdict(self.description), {GRAPH: self.graph}
        about = {"classes": description.pop("classes"), **description.pop("input"), **description}
        if about["fit"] == "stretch":
            del about["fit"]  # the default: so models have the version that they had before there was another fit
        if self.backbone:
            about["features"] = self.backbone.output
            files[BACKBONE] = self.backbone.graph
        return files | {DESCRIPTION: (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode()}

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits that change if, and only if, a network or the description changes."""
        return hashlib.sha256(b"".join(self.files.values())).hexdigest()[:12]

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 [N, classes] for pictures uint8 [N, H, W, C] of the shape of its input."""
        return self._answer(self.backbone.features(pixels) if self.backbone else pixels)

    def predict(self, root: Path, folder: Path, images: pd.DataFrame) -> pd.DataFrame:
        """Return the class probabilities of pictures below a folder: float32, index `file`, one column per class.

        They go through a cache of the workspace at `root`; see `RecordCache.read`.
        """
        seen = self.description.input
        cache = feature_cache(root, self.backbone) if self.backbone else picture_cache(root, seen)
        answers = self._answer(cache.read(folder, images))
        return pd.DataFrame(answers, index=pd.Index(images["file"]), columns=list(self.description.classes))

    def _answer(self, inputs: np.ndarray | Records) -> np.ndarray:
        """The probabilities for pictures or, if there is a backbone, for their features."""
        seen = self.description.input
        rows = [np.empty((0, len(self.description.classes)), np.float32)]
        for start in range(0, len(inputs), seen.batch):
            part = inputs[start : start + seen.batch]
            logits = run_graph(self.graph, part if self.backbone else seen.to_network(part))
            rows.append(softmax(logits / self.description.temperature))
        return np.concatenate(rows)


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
    with lzma.open(path, "wb", filters=[QUICK]) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@lru_cache(maxsize=2)  # a round needs the old and the new one several times
def load_classifier(file: bytes, name: str = "the model") -> Classifier:
    """Read the bytes of a ``.bentomodel`` without a model store, without unpacking it to disk and without pickle.

    A `Problem`, which calls the file by its `name`, tells that `save_classifier` did not write them.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(file), mode="r:xz") as archive:
            about = json.loads(_read_member(archive, DESCRIPTION))
            graphs = [_read_member(archive, name) for name in (GRAPH, BACKBONE) if f"./{name}" in archive.getnames()]
        for graph in graphs:
            check_graph(graph)
        seen = Input(**{one.name: about.pop(one.name) for one in fields(Input) if one.name in about})
        output = about.pop("features", "")
        description = Description(**about | {"classes": tuple(about["classes"]), "input": seen})
        backbone = Backbone(graphs[1], description.input, output) if output else None
        classifier = Classifier(graphs[0], description, backbone)
        # A trial shows best whether it fits its description.
        blank = np.zeros((1, *description.input.shape), np.uint8)
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
