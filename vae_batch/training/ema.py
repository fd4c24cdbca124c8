"""The moving average of the weights: smoother than the last ones, and mostly better."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of a model's parameters (Polyak and Juditsky 1992).

    Args:
        model: whose parameters are averaged; its buffers do not change in training.
        decay: share of the average that a step keeps; less in the first steps, so that the start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take a step's weights in; steps from 1."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        for name, parameter in self._parameters.items():
            self.average[name].lerp_(parameter, 1.0 - decay)

    def load(self, average: dict[str, Tensor]) -> None:
        """Go on from what `average` was."""
        for name, tensor in average.items():
            self.average[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the averages in the model inside, and the weights again afterwards."""
        weights = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(weights)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
