"""The network and its input: to use another network, replace `build_network`."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn


def build_network(channels: int, classes: int, width: int) -> nn.Sequential:
    """Build three strided convolutions and a linear layer.

    From [N, channels, H, W] in 0..1 they make logits [N, classes], for any H and W. The first layer scales images to
    zero mean and unit variance with statistics of its own training set; the last is linear, for calibration scales it.
    """
    sizes = [channels, width, 2 * width, 4 * width]
    layers: list[nn.Module] = [nn.BatchNorm2d(channels, affine=False)]
    for before, after in pairwise(sizes):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * sizes[-1], classes)]
    return nn.Sequential(*layers)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Convert uint8 [N, H, W, C] to float32 [N, C, H, W] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div(255)
