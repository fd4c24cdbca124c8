"""What a step of training changes: parameters, AdamW's moments, the average of the weights, each in one vector.

A step is then a few passes over long vectors instead of hundreds over short ones, and the workers of a machine can
share the work and the memory: each brings its slice up to date, and all compute with the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vae_batch.models.network import TrainableVAE
from vae_batch.training.team import Team

BETAS = (0.9, 0.99)


class Weights:
    """A model's parameters, whose `.data` and `.grad` become views of two of the vectors.

    Args:
        model: what is trained, at its start; its buffers do not change.
        weight_decay: of its matrices; biases have none.
        ema: share of the average that a step keeps, less in the first steps, so that the start is forgotten (Polyak and
            Juditsky 1992); 0: there is no average.
        team: the processes that train it.
    """

    def __init__(self, model: TrainableVAE, weight_decay: float = 0.0, ema: float = 0.0, team: Team | None = None):
        self.model, self.ema, self.team = model, ema, team or Team()
        trained = [p for p in model.parameters() if p.requires_grad]
        self.parameters = sorted(trained, key=lambda p: p.ndim < 2)  # matrices first, else in their order
        sizes = [p.numel() for p in self.parameters]
        common, self.gradient = self.team.vectors(4 if ema else 3, sum(sizes), self.parameters[0].device)
        self.values, self.mean, self.square = common[:3]
        self.average = common[3] if ema else None
        for p, value, gradient in zip(
            self.parameters, self._views(self.values), self._views(self.gradient), strict=True
        ):
            value.copy_(p.data)
            p.data, p.grad = value, gradient
        if self.average is not None:
            self.average.copy_(self.values)
        self._slice = self.team.slice(sum(sizes))
        self._optimizer = self._adamw(weight_decay, sum(p.numel() for p in self.parameters if p.ndim > 1))

    def _views(self, vector: Tensor) -> Iterator[Tensor]:
        """Cut a vector into tensors that lie in memory as the parameters do: AdamW goes through both side by side."""
        at = 0
        for p in self.parameters:
            yield vector[at:].as_strided(p.shape, p.stride())
            at += p.numel()

    def _adamw(self, weight_decay: float, matrices: int) -> torch.optim.AdamW:
        first, last = self._slice.start, self._slice.stop
        pieces = [
            (slice(max(first, start), min(last, stop)), decay)
            for start, stop, decay in ((0, matrices, weight_decay), (matrices, len(self.values), 0.0))
        ]
        groups, state = [], dict[Tensor, dict[str, Tensor]]()
        for piece, decay in pieces:
            if piece.start < piece.stop:
                numbers = nn.Parameter(self.values[piece])
                numbers.grad = self.gradient[piece]
                groups.append({"params": [numbers], "weight_decay": decay})
                step = torch.zeros((), device=self.values.device)
                state[numbers] = {"step": step, "exp_avg": self.mean[piece], "exp_avg_sq": self.square[piece]}
        optimizer = torch.optim.AdamW(groups, betas=BETAS, fused=True)
        optimizer.state.update(state)
        return optimizer

    def clip(self, norm: float) -> float:
        """Shorten the gradient to this norm where it is longer; give its length before."""
        mine = self.gradient[self._slice]
        length = float(self.team.sum_of_slices(mine.norm().square()).sqrt())
        if length > norm:
            mine.mul_(norm / length)
        return length

    @torch.no_grad()
    def step(self, number: int, learning_rate: float) -> None:
        """Follow the gradient for the step of this number, from 1."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        if self.average is not None:
            decay = min(self.ema, (1.0 + number) / (10.0 + number))
            self.average[self._slice].lerp_(self.values[self._slice], 1.0 - decay)
        self.team.meet()

    @contextmanager
    def final(self) -> Iterator[None]:
        """Have in the model, inside, what is validated and saved: the average where there is one."""
        self._put(self.values if self.average is None else self.average)
        try:
            yield
        finally:
            self._put(self.values)

    def _put(self, vector: Tensor) -> None:
        for p, value in zip(self.parameters, self._views(vector), strict=True):
            p.data = value

    def tensors(self) -> dict[str, Tensor]:
        """Give all the numbers that training changes, by name."""
        return {name: tensor.clone() for name, tensor in self._named().items()}

    def load(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Go on from what `tensors` gave after so many steps; others in the mapping are left alone."""
        for name, tensor in self._named().items():
            tensor.copy_(tensors[name])
        for state in self._optimizer.state.values():
            state["step"].fill_(step)

    def _named(self) -> dict[str, Tensor]:
        named = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        named |= {"adamw.mean": self.mean, "adamw.square": self.square}
        return named if self.average is None else {**named, "average": self.average}
