"""Augmentation: each time a network learns from a picture, it sees another view of it."""

import torch

from helpers.pipeline.dataset import augment


def test_shifting_moves_the_picture_by_whole_pixels_and_no_further():
    torch.manual_seed(0)
    image = torch.arange(400.0).reshape(1, 1, 20, 20).repeat(50, 2, 1, 1)
    moved = augment(image, shift=0.1, flip=False)
    offsets = moved[:, 0, 10, 10] - image[:, 0, 10, 10]
    allowed = {20.0 * down + right for down in range(-2, 3) for right in range(-2, 3)}
    assert set(offsets.tolist()) <= allowed
    assert len(set(offsets.tolist())) > 10
    assert torch.equal(moved[:, 0], moved[:, 1])


def test_mirroring_happens_to_half_of_the_pictures_and_only_if_asked():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 8, 8).repeat(200, 1, 1, 1)
    assert torch.equal(augment(image, shift=0.0, flip=False), image)
    mirrored = (augment(image, shift=0.0, flip=True) == image.flip(3)).all(dim=(1, 2, 3))
    assert 60 < mirrored.sum() < 140
