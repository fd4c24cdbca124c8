"""Gradients of a batch, of which this process may have only a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_batch.models.network import TrainableVAE
from vae_batch.training.loss import Elbo, Objective
from vae_batch.training.threads import Threads


def _alone(tensor: Tensor) -> Tensor:
    return tensor


def _zeros(numbers: int, device: torch.device) -> Tensor:
    return torch.zeros(numbers, device=device)


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train one model together; each takes its slice of every batch."""

    rank: int = 0
    size: int = 1
    reduce: Callable[[Tensor], Tensor] = _alone
    """Adds a tensor up over the team, in place, and gives it; all call it in the same order."""
    vector: Callable[[int, torch.device], Tensor] = _zeros
    """Makes a float32 vector of zeros that `reduce` adds up at little cost; all call it in the same order."""

    def share(self, tensor: Tensor) -> Tensor:
        """Give this process's slice of what is the whole batch's."""
        return tensor.tensor_split(self.size)[self.rank]


class Lowered:
    """Copies of a network's halves in reduced precision, which all threads share.

    An autocast casts the weights for each thread anew, and their gradients back: a tenth of a step.

    Args:
        model: its encoder and decoder run in the precision of their parameters.
        dtype: of the copies; None: there are none, and all stays as it is.
    """

    def __init__(self, model: TrainableVAE, dtype: torch.dtype | None) -> None:
        self._places = [
            (module, name, parameter, nn.Parameter(parameter.detach().to(dtype)))
            for half in (model.encoder, model.decoder)
            for module in half.modules()
            for name, parameter in module.named_parameters(recurse=False)
            if dtype is not None
        ]
        self._leaves = {id(parameter): low for _, _, parameter, low in self._places}

    def leaf(self, parameter: Tensor) -> Tensor:
        """Give what a parameter's gradient is to be taken of."""
        return self._leaves.get(id(parameter), parameter)

    @contextmanager
    def __call__(self, threads: Threads) -> Iterator[None]:
        """Have the copies, brought up to date, in the model inside."""
        threads.map(self._refresh, threads.deal((parameter, low) for _, _, parameter, low in self._places))
        try:
            for module, name, _, low in self._places:
                module._parameters[name] = low
            yield
        finally:
            for module, name, parameter, _ in self._places:
                module._parameters[name] = parameter

    @torch.no_grad()
    def _refresh(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        for parameter, low in pairs:
            low.copy_(parameter)


class BatchGradients:
    """Computes the ELBO of a batch and sets the gradients of the loss in nats per pixel.

    The gradients of all parameters lie in one vector, `flat`: it is reduced and clipped at once.

    Args:
        model: what is trained.
        objective: the loss.
        threads: share out the batch.
        dtype: autocast's, None for float32.
        team: the other processes.
    """

    def __init__(
        self,
        model: TrainableVAE,
        objective: Objective,
        threads: Threads,
        dtype: torch.dtype | None = None,
        team: Team | None = None,
    ) -> None:
        self.model, self.objective, self.threads, self.dtype = model, objective, threads, dtype
        self.team = team or Team()
        self.sums = objective.sums
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.lowered = Lowered(model, dtype if threads.parts > 1 else None)
        self.flat = self.team.vector(sum(p.numel() for p in self.parameters), self.parameters[0].device)
        at = 0
        for p in self.parameters:  # in memory as the parameter is: fused steps take both number by number
            p.grad = self.flat[at:].as_strided(p.shape, p.stride())
            at += p.numel()

    def __call__(self, x_BCHW: Tensor, eps: Tensor, images: int, step: int = 1) -> Elbo:
        """Set `.grad` of every parameter.

        The loss depends on the sums alone, so each part is differentiated by the chain rule through its own, and
        the gradients are added up in order: they do not depend on which thread is first.

        Args:
            x_BCHW: this process's images, float32 in [0, 1].
            eps: standard normals (B, *latent) for the sample z = mean + sigma·eps.
            images: in the batch, over all processes.
            step: of the training, from 1.
        """
        with self.lowered(self.threads):
            parts = self.threads.map(self._forward, self.threads.split(x_BCHW, eps))
        total = self.team.reduce(torch.stack([part.detach() for part in parts]).sum(0)).requires_grad_()
        elbo = self.objective.elbo(total, images, step)
        (slopes,) = torch.autograd.grad(elbo.loss / self.objective.dims, total)
        leaves = [self.lowered.leaf(p) for p in self.parameters]
        found = self.threads.map(lambda part: torch.autograd.grad(part, leaves, slopes), ((part,) for part in parts))
        self.threads.map(self._add_up, self.threads.deal(zip(self.parameters, *found, strict=True)))
        self.team.reduce(self.flat)
        return elbo

    def _forward(self, x_BCHW: Tensor, eps: Tensor) -> Tensor:
        return self.sums(self.model, x_BCHW, eps, self.dtype)

    @torch.no_grad()
    def _add_up(self, found: list[tuple[Tensor, ...]]) -> None:
        for parameter, *gradients in found:
            assert parameter.grad is not None
            parameter.grad.copy_(gradients[0])
            for gradient in gradients[1:]:
                parameter.grad.add_(gradient)

    def clip(self, norm: float) -> float:
        """Shorten the gradient to this norm where it is longer; give its length before."""
        length = float(self.flat.norm())
        if length > norm:
            self.flat.mul_(norm / length)
        return length
