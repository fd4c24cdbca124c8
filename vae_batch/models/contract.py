"""What a user's module has to give, and the messages when it gives something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vae_batch.errors import ModelError
from vae_batch.models.gaussian import DiagonalGaussian


def posterior_parts(given: Any, ref: str) -> tuple[Tensor, Tensor | None]:
    """Take mean and log-variance (None: deterministic) out of what `encode` gave.

    Raises:
        ModelError: it is neither a pair of tensors, a `DiagonalGaussian` nor a tensor.
    """
    if isinstance(given, DiagonalGaussian):
        return given.mean, given.logvar
    if isinstance(given, Tensor):
        return given, None
    if isinstance(given, tuple | list) and len(given) == 2 and all(isinstance(g, Tensor) for g in given):
        return given[0], given[1]
    raise ModelError(
        f"--model {ref}: encode() gave {describe(given)}; it has to give a pair of tensors (mean, log-variance), a "
        "DiagonalGaussian, or one tensor from a deterministic autoencoder"
    )


def describe(value: Any) -> str:
    """Name a value for an error message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(describe(v) for v in value[:4])}"
    return "None" if value is None else f"a {type(value).__name__}"


def _attribute(network: nn.Module, *names: str) -> Any:
    """Look for an attribute of the module, then of its config (an object or a mapping)."""
    config = getattr(network, "config", None)
    for name in names:
        for place in (network, config):
            value = place.get(name) if isinstance(place, Mapping) else getattr(place, name, None)
            if value is not None:
                return value
    return None


def image_size(network: nn.Module, ref: str) -> int | None:
    """Read the side in pixels that a module was made for; None where it does not say.

    Raises:
        ModelError: it is no positive number and no pair of equal ones.
    """
    size = _attribute(network, "image_size", "sample_size")
    if isinstance(size, tuple | list) and len(set(size)) == 1:
        size = size[0]
    if size is None or (isinstance(size, int) and size > 0):
        return size
    raise ModelError(f"--model {ref}: its image size is {size!r}; square images are taken, a side in pixels")


def in_channels(network: nn.Module, ref: str) -> int:
    """Read how many colour channels a module takes; 3 where it does not say.

    Raises:
        ModelError: neither 1 nor 3.
    """
    channels = _attribute(network, "in_channels")
    if channels in (None, 1, 3):
        return channels or 3
    raise ModelError(f"--model {ref}: in_channels is {channels!r}; images are RGB (3) or gray (1)")
