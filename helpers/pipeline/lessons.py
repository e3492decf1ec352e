"""The inputs that a network learns from, and the network for them: pictures or, with a backbone, their features."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from helpers.decode import Input
from helpers.pipeline.backbone import Backbone, feature_cache
from helpers.pipeline.network import build_head, build_network
from helpers.pipeline.params import TrainParams
from helpers.pipeline.paths import RAW
from helpers.pipeline.pixels import picture_cache
from helpers.pipeline.records import Records


@dataclass(frozen=True)
class PictureLessons:
    """Pictures for the small network."""

    pixels: Records | np.ndarray  # uint8 [N, H, W, C]
    input: Input
    params: TrainParams
    fewest_steps = 0  # in an epoch
    pace = 1.0  # the share of the learning rate
    backbone = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        height, width, channels = self.input.shape
        return channels, height, width

    def build_network(self, classes: int) -> nn.Module:
        """Build a network from these inputs to logits [N, classes], with random weights."""
        return build_network(self.shape[0], self.input.image_size, classes, self.params.width)

    def read(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Return inputs by their row numbers, float32 [rows, *shape]."""
        return torch.from_numpy(self.input.to_network(self.pixels[rows])).to(device)

    def read_augmented(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Return inputs for training: each time others of the same pictures."""
        return augment(self.read(rows, device), self.params.shift, self.params.flip)


@dataclass(frozen=True)
class FeatureLessons:
    """Features of pictures, and perhaps of their mirror images, for a linear head; the methods are the same."""

    features: Records  # float32 [N, features]
    mirrored: Records | None
    backbone: Backbone
    # On five sets of 40 to 2,500 pictures, no other values did better.
    fewest_steps = 64  # a head learns from few images as long as from many
    pace = 0.2

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.backbone.width,)

    def build_network(self, classes: int) -> nn.Module:
        return build_head(self.shape[0], classes)

    def read(self, rows: np.ndarray, device: torch.device) -> Tensor:
        return torch.from_numpy(self.features[rows]).to(device)

    def read_augmented(self, rows: np.ndarray, device: torch.device) -> Tensor:
        features = self.read(rows, device)
        if not self.mirrored:
            return features
        mirrored = (torch.rand(len(rows)) < 0.5).to(device)
        return torch.where(mirrored[:, None], torch.from_numpy(self.mirrored[rows]).to(device), features)


Lessons = PictureLessons | FeatureLessons


def augment(images: Tensor, shift: float, flip: bool) -> Tensor:
    """Shift each image [N, C, H, W] by a few pixels, repeating its border, and mirror half of them if asked."""
    count, channels, height, width = images.shape
    if reach := round(shift * width):
        padded = nn.functional.pad(images, [reach] * 4, mode="replicate")
        down, right = torch.randint(0, 2 * reach + 1, (2, count, 1)).to(images.device)
        rows = down + torch.arange(height, device=images.device)
        columns = right + torch.arange(width, device=images.device)
        padded = padded.gather(2, rows[:, None, :, None].expand(-1, channels, -1, padded.shape[3]))
        images = padded.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))
    if flip:
        mirrored = (torch.rand(count) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images


def read_lessons(
    root: Path, images: pd.DataFrame, seen: Input, backbone: Backbone | None, params: TrainParams
) -> Lessons:
    """Read the pictures of data/raw, or their features, through a cache of the workspace at `root`."""
    raw = root / RAW
    if not backbone:
        return PictureLessons(picture_cache(root, seen).read(raw, images), seen, params)
    mirrored = feature_cache(root, backbone, mirrored=True).read(raw, images) if params.flip else None
    return FeatureLessons(feature_cache(root, backbone).read(raw, images), mirrored, backbone)
