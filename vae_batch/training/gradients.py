"""Gradients of a batch, of which this process may have only a part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vae_batch.models.network import TrainableVAE
from vae_batch.training.loss import Elbo, Objective
from vae_batch.training.threads import Threads
from vae_batch.training.weights import Weights


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

    Args:
        weights: of what is trained, and its team.
        objective: the loss.
        threads: share out the batch.
        dtype: autocast's, None for float32.
    """

    def __init__(
        self, weights: Weights, objective: Objective, threads: Threads, dtype: torch.dtype | None = None
    ) -> None:
        self.weights, self.objective, self.threads, self.dtype = weights, objective, threads, dtype
        self.model, self.team = weights.model, weights.team
        self.sums = objective.sums
        self.lowered = Lowered(self.model, dtype if threads.parts > 1 else None)

    def __call__(self, x_BCHW: Tensor, eps: Tensor, images: int, step: int = 1) -> Elbo:
        """Set `.grad` of every parameter; with a team, of this process's slice of them.

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
        leaves = [self.lowered.leaf(p) for p in self.weights.parameters]
        found = self.threads.map(lambda part: torch.autograd.grad(part, leaves, slopes), ((part,) for part in parts))
        self.threads.map(self._add_up, self.threads.deal(zip(self.weights.parameters, *found, strict=True)))
        self.team.add_up(self.weights.gradient)
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
