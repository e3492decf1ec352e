"""A backbone: a frozen network that somebody else trained, to turn pictures into features, once for each picture."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np

from helpers.decode import open_image
from helpers.pipeline.cache import RecordCache
from helpers.pipeline.graphs import check_graph, run_graph
from helpers.pipeline.input import Input
from helpers.pipeline.params import BackboneParams, TrainParams, read_params
from helpers.pipeline.paths import BACKBONES, FEATURES, INDEX, METRICS, PARAMS, RAW, read_table
from helpers.problems import Problem

LARGE, ENOUGH = 96, 0.9  # pixels, and the accuracy below which a backbone may do better


@dataclass(frozen=True)
class Backbone:
    """A frozen network with everything that it needs to see pictures."""

    graph: bytes  # ONNX, from pictures [N, C, H, W]
    input: Input
    output: str  # the name of the graph's output that holds the features

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that change with the features."""
        about = f"{asdict(self.input)} {self.output}".encode()
        return hashlib.sha256(about + self.graph).hexdigest()[:12]

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 [N, features] of pictures uint8 [N, H, W, C]; a ValueError if their shape or values are wrong.

        A network may give features of each place [N, features, H, W], which are averaged, or of each patch
        [N, patches, features], of which a vision transformer puts those of the whole picture first.
        """
        parts = []
        for start in range(0, len(pixels), self.input.batch):
            batch = self.input.to_network(pixels[start : start + self.input.batch])
            features = run_graph(self.graph, batch, self.output)
            if features.ndim == 4:
                features = features.mean(axis=(2, 3))
            elif features.ndim == 3:
                features = features[:, 0]
            if features.ndim != 2 or len(features) != len(batch):
                raise ValueError(f"output `{self.output}` has the shape {features.shape} for {len(batch)} pictures")
            if not np.isfinite(features).all():
                raise ValueError(f"output `{self.output}` has values that are not finite numbers")
            parts.append(features.astype(np.float32))
        return np.concatenate(parts)

    @cached_property
    def width(self) -> int:
        """The number of features; finding it tries the graph, which fails if that cannot be used."""
        black_and_white = np.zeros((2, *self.input.shape), np.uint8)
        black_and_white[1] = 255
        return self.features(black_and_white).shape[1]


def read_backbone(root: Path, setting: str) -> Backbone | None:
    """Read the backbone that ``train.backbone`` names, with its description; None for ``none``.

    A `Problem` tells that it is missing or cannot be used.
    """
    if setting == "none":
        return None
    file, description = root / setting, Path(setting).with_suffix(".yaml")
    if not file.resolve().is_relative_to((root / BACKBONES).resolve()):
        raise Problem(
            f"train.backbone is {setting}, which is no file in {BACKBONES}/.",
            advice="It is a path. To take a model from a hub, put its ONNX export there, as docs/pipeline.md tells.",
        )
    if not file.is_file():
        raise Problem(
            f"train.backbone is {setting}, which does not exist.",
            advice=f"`dvc pull {setting}` brings one that DVC tracks; `make backbone` makes efficientnet-lite0.onnx.",
        )
    about = read_params(BackboneParams, root / description)
    try:
        seen = Input(about.image_size, "rgb", "pad", about.mean, about.scale)
        graph = file.read_bytes()
        check_graph(graph)
        backbone = Backbone(graph, seen, about.output)
        _ = backbone.width
    except Exception as error:  # a hostile file can make each parser fail in its own way, and so can onnxruntime
        advice = f"It has to be an ONNX graph from pictures to features, as {description} describes it."
        raise Problem(f"{setting} cannot be used as a backbone.", [str(error)], advice) from None
    return backbone


def feature_cache(root: Path, backbone: Backbone, mirrored: bool = False) -> RecordCache:
    """The features of pictures of the workspace at `root`, or of their mirror images: float32 [N, features].

    Computing them raises a `Problem` if the backbone fails on a picture.
    """

    def decode(content: BytesIO) -> tuple[np.ndarray, np.ndarray]:
        pixels = backbone.input.read(content)
        return pixels[:, ::-1] if mirrored else pixels, np.empty(0, np.uint8)

    def compute(pixels: np.ndarray) -> np.ndarray:
        try:
            return backbone.features(pixels)
        except ValueError as error:
            raise Problem("The backbone cannot be used on these pictures.", [str(error)]) from None

    settings = f"{backbone.key}-{'mirrored' if mirrored else 'plain'}"
    record = np.dtype((np.float32, (backbone.width,)))
    return RecordCache(root / FEATURES, settings, backbone.input, decode, record, compute=compute)


def advise_backbone(root: Path) -> str:
    """Return advice to use a backbone, where the small network fails on large pictures; empty elsewhere."""
    params = read_params(TrainParams, root / PARAMS)
    accuracy = float(json.loads((root / METRICS).read_bytes())["accuracy"])
    if params.backbone != "none" or accuracy >= ENOUGH:
        return ""
    index = read_table((root / INDEX).read_bytes())
    sides = []
    for file in index.loc[index["split"] == "held-out", "file"].head(100):
        with open_image(root / RAW / file) as image:
            sides.append(max(image.size))
    if median(sides) <= LARGE:
        return ""
    return (
        f"The small network gets {accuracy:.0%} of the held-out images right, which are larger than {LARGE} pixels. If "
        "they are photographs, a pretrained backbone sees more in them: `make backbone` writes one; then set "
        "`train.backbone` in params.yaml. It costs some 5 ms for each new image, once, and 13 MB in each model's file."
    )
