"""Gradients of a batch on several threads, each with a part of the images.

torch's own threads meet at every operator and wait there for whichever the machine has put aside; on a machine that
does anything else besides, a training slows down many times. These meet twice a step.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from vae_batch.models.network import TrainableVAE
from vae_batch.training.elbo import Elbo, elbo_of

MIN_IMAGES = 8
"""A smaller part is not worth a thread."""


class BatchGradients(AbstractContextManager["BatchGradients"]):
    """Computes the ELBO of a batch and sets the gradients of the loss in nats per pixel.

    Args:
        model: what is trained.
        batch_size: of all batches.
        dtype: autocast's, None for float32.
    """

    def __init__(self, model: TrainableVAE, batch_size: int, dtype: torch.dtype | None) -> None:
        self.model, self.dtype = model, dtype
        self.parameters = list(model.parameters())
        self._cores = torch.get_num_threads()
        device = self.parameters[0].device.type
        self.parts = max(1, min(self._cores, batch_size // MIN_IMAGES)) if device == "cpu" else 1
        self._pool = ThreadPoolExecutor(self.parts, "part", torch.set_num_threads, (self._cores // self.parts,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()
        torch.set_num_threads(self._cores)

    def __call__(self, x_BCHW: Tensor, eps_BZ: Tensor) -> Elbo:
        """Set `.grad` of every parameter.

        The loss depends on the parts' sums alone, so each part is differentiated by the chain rule through its own
        two sums, and the gradients added up in order: they do not depend on which thread is first.

        Args:
            x_BCHW: images, float32 in [0, 1].
            eps_BZ: standard normals for the sample z = mean + sigma·eps.
        """
        dims = x_BCHW[0].numel()
        xs, noises = x_BCHW.tensor_split(self.parts), eps_BZ.tensor_split(self.parts)
        sums = list(self._pool.map(self._forward, xs, noises))
        squares, rates = (torch.stack([s[i].detach() for s in sums]).sum().requires_grad_() for i in range(2))
        elbo = elbo_of(squares / x_BCHW.numel(), rates / len(x_BCHW), dims)
        slopes = torch.autograd.grad(elbo.loss / dims, (squares, rates))
        gradients = self._pool.map(lambda part: torch.autograd.grad(part, self.parameters, slopes), sums)
        for parameter, *found in zip(self.parameters, *gradients, strict=True):
            parameter.grad = sum(found[1:], found[0])
        return elbo

    def _forward(self, x_BCHW: Tensor, eps_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """Give a part's sum of squared errors and its sum of KL in nats."""
        with torch.autocast(x_BCHW.device.type, self.dtype, enabled=self.dtype is not None):
            posterior = self.model.encode(x_BCHW)
            mean = self.model.expected(posterior.sample(eps_BZ))
        rate = posterior.kl()
        assert rate is not None
        return (x_BCHW - mean).square().sum(), rate.sum()
