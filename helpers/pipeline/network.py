"""The networks: to use another one, replace `build_network`."""

import io
import warnings
from itertools import pairwise

import torch
from torch import nn


def build_network(channels: int, size: int, classes: int, width: int) -> nn.Module:
    """Build three strided convolutions, the mean of each quarter of the picture, and a linear layer.

    From pictures [N, channels, size, size] in 0..1 they make logits [N, classes]. The first layer scales pictures to
    zero mean and unit variance with statistics of its own training set.
    """
    sizes = [channels, width, 2 * width, 4 * width]
    layers: list[nn.Module] = [nn.BatchNorm2d(channels, affine=False)]
    for before, after in pairwise(sizes):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        size = (size + 1) // 2
    half = (size + 1) // 2  # of an odd size, the quarters share a row and a column
    layers += [nn.AvgPool2d(half, stride=size - half), nn.Flatten(), nn.Linear(4 * sizes[-1], classes)]
    return nn.Sequential(*layers)


def build_head(features: int, classes: int) -> nn.Module:
    """Build a linear layer from the features [N, features] of a backbone to logits [N, classes].

    Features of each picture get zero mean and unit variance first, so that the learning rate suits every backbone.
    """
    return nn.Sequential(nn.LayerNorm(features, elementwise_affine=False), nn.Linear(features, classes))


def export_network(network: nn.Module, *shape: int) -> bytes:
    """Write a network on the CPU as an ONNX graph from inputs [N, *shape] to logits [N, classes]."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # PyTorch recommends the dynamo exporter, which takes ten times as long and needs one more package.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, *shape),),
            file,  # type: ignore[arg-type]  # the older exporter, which this is, takes files
            input_names=["inputs"],
            output_names=["logits"],
            dynamic_axes={"inputs": {0: "N"}, "logits": {0: "N"}},
            dynamo=False,
        )
    return file.getvalue()
