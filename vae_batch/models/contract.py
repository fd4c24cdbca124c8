"""What a model of the user's has to give, and the messages when it gives something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vae_batch.errors import ModelError
from vae_batch.models.base import VAE, ModelCard
from vae_batch.models.gaussian import DiagonalGaussian

TRIAL_SIZE = 64
"""Pixels a side of the trial image where neither the user nor the model names a size."""


def posterior_of(given: Any, x_BCHW: Tensor, ref: str) -> DiagonalGaussian:
    """Make the posterior, float32, of what `encode(x)` gave.

    Raises:
        ModelError: it is none of the forms of a posterior, or its shapes do not fit.
    """
    mean, logvar = _parts(given, ref)
    if mean.ndim < 2 or len(mean) != len(x_BCHW):
        raise ModelError(
            f"--model {ref}: encode() gave a mean of shape {tuple(mean.shape)} for x of shape "
            f"{tuple(x_BCHW.shape)}; it has to be ({len(x_BCHW)}, ...), one row an image"
        )
    if logvar is not None and logvar.shape != mean.shape:
        raise ModelError(
            f"--model {ref}: encode() gave a mean of shape {tuple(mean.shape)} and a log-variance of "
            f"shape {tuple(logvar.shape)}; they have to be alike"
        )
    return DiagonalGaussian(mean.float(), None if logvar is None else logvar.float())


def image_of(given: Any, z: Tensor, ref: str) -> Tensor:
    """Make images (B, C, H, W), float32, of what `decode(z)` gave.

    Raises:
        ModelError: it is something else.
    """
    if not isinstance(given, Tensor) or given.ndim != 4 or len(given) != len(z):
        raise ModelError(
            f"--model {ref}: decode() gave {describe(given)} for z of shape {tuple(z.shape)}; it has to give "
            f"a tensor of shape ({len(z)}, channels, height, width) with values in [0, 1]"
        )
    return given.float()


def tried(model: VAE, ref: str, size: int | None) -> ModelCard:
    """Run black images through a model, and complete its card: the latent's shape, and whether there is a variance.

    Raises:
        ModelError: the model breaks the contract.
    """
    side = size or TRIAL_SIZE
    with torch.inference_mode():
        x = torch.zeros(model.card.nearest_batch(1), model.card.in_channels, side, side)
        posterior = posterior_of(model.encode(x), x, ref)
        if model.card.decodes:
            _check_image(image_of(model.decode(posterior.mean), posterior.mean, ref), x, ref)
    latent = tuple(posterior.mean.shape[1:])
    return replace(model.card, image_size=size, latent_shape=latent, deterministic=posterior.logvar is None)


def _check_image(image: Tensor, x_BCHW: Tensor, ref: str) -> None:
    if image.shape != x_BCHW.shape:
        raise ModelError(
            f"--model {ref}: decode() gave {describe(image)} for the latent of an image of shape "
            f"{tuple(x_BCHW.shape)}; it has to give an image of that shape"
        )
    low, high = float(image.min()), float(image.max())
    if low < -0.5 or high > 1.5:
        raise ModelError(
            f"--model {ref}: decode() gave pixels from {low:.2f} to {high:.2f} for a black image; encode() "
            "takes and decode() gives values in [0, 1]: rescale inside the module"
        )


def _parts(given: Any, ref: str) -> tuple[Tensor, Tensor | None]:
    """Take mean and log-variance (None: deterministic) out of what `encode` gave."""
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
