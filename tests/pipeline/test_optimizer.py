"""The optimizer takes the steps of PyTorch's own classes, to the last digit."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from helpers.pipeline.optimizer import OneCycleAdamW, one_cycle


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 40, 504])
def test_weights_and_schedule_are_those_of_pytorch(steps):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    other = copy.deepcopy(network)
    ours = OneCycleAdamW(network.parameters(), 0.01, 0.02, steps)
    theirs = torch.optim.AdamW(other.parameters(), 0.01, weight_decay=0.02, fused=True)
    schedule = OneCycleLR(theirs, 0.01, total_steps=steps)
    for step in range(steps):
        (group,) = theirs.param_groups
        assert one_cycle(step, steps, 0.01) == (group["lr"], group["betas"][0])
        pictures, labels = torch.randn(5, 1, 6, 6), torch.randint(0, 3, (5,))
        for each in (network, other):
            nn.functional.cross_entropy(each(pictures), labels).backward()
        ours.step()
        theirs.step()
        theirs.zero_grad()
        if step < steps - 1:
            schedule.step()
    for parameter, expected in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(parameter, expected)
        assert parameter.grad is None


def test_a_parameter_that_takes_no_part_stays_as_it_is():
    used, idle = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = OneCycleAdamW([used, idle], 0.1, 0.1, 5)
    used.sum().backward()
    optimizer.step()
    assert (used < 1).all()
    assert (idle == 1).all()
