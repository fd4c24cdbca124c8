"""The forward pass through `torch.compile`, where that works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_batch.training.gradients import BatchGradients


def compiled(gradients: BatchGradients, x_BCHW: Tensor, eps: Tensor, say: Callable[[str], None]) -> Callable[..., Any]:
    """Compile the objective's sums, forward and backward, trying them on a batch; as they are where that fails.

    Args:
        gradients: of the training.
        x_BCHW: images of a batch, all of which will have this shape.
        eps: their standard normals.
        say: told what does not work.
    """
    sums = torch.compile(gradients.objective.sums)
    try:
        torch.autograd.grad(sums(gradients.model, x_BCHW, eps, gradients.dtype).sum(), gradients.weights.parameters)
    except Exception as error:  # whatever a compiler, its back end or a C++ tool chain raises
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        say(f"torch.compile does not work here ({first[:200]}): training goes on without it.")
        return gradients.objective.sums
    return sums
