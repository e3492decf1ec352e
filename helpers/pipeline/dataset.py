"""The inputs that a network learns from, and the network for them: pictures or, with a backbone, their features."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from helpers.pipeline.backbone import Backbone, feature_cache
from helpers.pipeline.cache import Records
from helpers.pipeline.input import Input
from helpers.pipeline.network import build_head, build_network
from helpers.pipeline.params import TrainParams
from helpers.pipeline.paths import RAW
from helpers.pipeline.pixels import picture_cache


@dataclass(frozen=True)
class Dataset:
    """Pictures for the small network or, with a backbone, their features for a linear head."""

    inputs: Records | np.ndarray  # pictures uint8 [N, H, W, C], or features float32 [N, features]
    input: Input
    params: TrainParams
    backbone: Backbone | None = None
    mirrored: Records | None = None  # features of the mirror images, to learn from them as well

    def build_network(self, classes: int) -> nn.Module:
        """Build a network from these inputs to logits [N, classes], with random weights."""
        if self.backbone:
            return build_head(self.backbone.width, classes)
        return build_network(self.input.shape[2], self.input.image_size, classes, self.params.width)

    def read(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Return the network's inputs for some rows: pictures float32 [rows, C, H, W], or features."""
        inputs = self.inputs[rows]
        return torch.from_numpy(inputs if self.backbone else self.input.to_network(inputs)).to(device)

    def read_augmented(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Return the same for training, at random shifted or mirrored as the settings say."""
        inputs = self.read(rows, device)
        if not self.backbone:
            return augment(inputs, self.params.shift, self.params.flip)
        if not self.mirrored:
            return inputs
        mirrored = (torch.rand(len(rows)) < 0.5).to(device)
        return torch.where(mirrored[:, None], torch.from_numpy(self.mirrored[rows]).to(device), inputs)


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


def read_dataset(
    root: Path, images: pd.DataFrame, seen: Input, backbone: Backbone | None, params: TrainParams
) -> Dataset:
    """Read the pictures of data/raw, or their features, through a cache of the workspace at `root`."""
    raw = root / RAW
    if not backbone:
        return Dataset(picture_cache(root, seen).read(raw, images), seen, params)
    mirrored = feature_cache(root, backbone, mirrored=True).read(raw, images) if params.flip else None
    return Dataset(feature_cache(root, backbone).read(raw, images), seen, params, backbone, mirrored)
