"""The network that is trained, and the graph that answers in its place."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier, Description
from helpers.pipeline.network import build_network, export_network


@pytest.mark.parametrize("size", [16, 19, 40, 64])
def test_the_graph_answers_like_the_network_on_real_pictures(size):
    digits = [Image.fromarray((digit * 15).astype(np.uint8)) for digit in load_digits().images[:100]]
    pixels = np.stack([Input(size).to_pixels(digit) for digit in digits])
    torch.manual_seed(0)
    network = build_network(channels=3, size=size, classes=3, width=4).eval()
    with torch.no_grad():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        expected = network(images).softmax(dim=1).numpy()
    classifier = Classifier(export_network(network, 3, size, size), Description(("a", "b", "c"), Input(size)))
    assert np.abs(classifier.probabilities(pixels) - expected).max() < 1e-5
