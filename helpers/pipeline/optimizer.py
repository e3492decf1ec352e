"""The optimizer: AdamW, whose learning rate rises and falls once."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adamw import adamw

# The defaults of `torch.optim.AdamW` and `torch.optim.lr_scheduler.OneCycleLR`.
RISE = 0.3  # share of the steps in which the learning rate rises
BELOW_PEAK, BELOW_FIRST = 25, 10_000  # the first rate divides the peak, and the last one divides the first
MOMENTUM, MOMENTUM_AT_PEAK, SECOND_MOMENTUM, EPSILON = 0.95, 0.85, 0.999, 1e-8


class OneCycleAdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with a one-cycle schedule (Smith 2018, arXiv 1803.09820).

    It takes the steps of `torch.optim.AdamW` (fused) under `torch.optim.lr_scheduler.OneCycleLR`, to the last digit. To
    make an object of these classes imports PyTorch's compiler, which takes a second.
    """

    def __init__(self, parameters: Iterable[Tensor], peak: float, weight_decay: float, steps: int) -> None:
        self._states = [
            (parameter, torch.zeros_like(parameter), torch.zeros_like(parameter), parameter.new_zeros(()))
            for parameter in parameters
        ]
        self._peak, self._weight_decay, self._steps, self._done = peak, weight_decay, steps, 0

    def step(self) -> None:
        """Take a step against the gradients of the parameters that have one, and drop them."""
        rate, momentum = one_cycle(self._done, self._steps, self._peak)
        states = [state for state in self._states if state[0].grad is not None]
        parameters, means, squares, counts = map(list, zip(*states, strict=True))
        with torch.no_grad():
            adamw(
                parameters,
                [parameter.grad for parameter in parameters],
                means,
                squares,
                [],
                counts,
                fused=True,
                amsgrad=False,
                beta1=momentum,
                beta2=SECOND_MOMENTUM,
                lr=rate,
                weight_decay=self._weight_decay,
                eps=EPSILON,
                maximize=False,
            )
        for parameter in parameters:
            parameter.grad = None
        self._done += 1


def one_cycle(step: int, steps: int, peak: float) -> tuple[float, float]:
    """Return the learning rate and the momentum of a step, counted from 0; both follow half a cosine up and down."""
    first, top = peak / BELOW_PEAK, RISE * steps - 1
    if step <= top:
        share = step / top
        return _ease(first, peak, share), _ease(MOMENTUM, MOMENTUM_AT_PEAK, share)
    share = (step - top) / (steps - 1 - top)
    return _ease(peak, first / BELOW_FIRST, share), _ease(MOMENTUM_AT_PEAK, MOMENTUM, share)


def _ease(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
