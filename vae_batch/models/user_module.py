"""A torch module of the user's as a `VAE`: found, called, and held to the contract.

The contract: `encode(x)`, x float in [0, 1] of shape (B, C, H, W), gives a `(mean, logvar)` pair, a
`DiagonalGaussian`, or, from a deterministic autoencoder, one tensor; `decode(z)` gives images in [0, 1]. Attributes
of the module or of its `config` may say more: `image_size` or `sample_size`, `in_channels` (1 or 3).
"""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import replace
from types import ModuleType
from typing import Any, Self

import torch
from torch import Tensor, nn

from vae_batch.errors import ModelError
from vae_batch.models import shipping
from vae_batch.models.base import ModelCard, Precision
from vae_batch.models.contract import describe, posterior_parts
from vae_batch.models.contract import image_size as image_size_of
from vae_batch.models.contract import in_channels as in_channels_of
from vae_batch.models.gaussian import DiagonalGaussian
from vae_batch.models.reference import ModuleReference

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
TRIAL_SIZE = 64
"""Pixels a side of the trial image where neither the user nor the module names a size."""


def load_module(reference: ModuleReference, ref: str, image_size: int | None) -> UserVAE:
    """Import, call and try a user's module.

    Weights that it draws rather than loads come from seed 0, so that every replica has the same.

    Raises:
        ModelError: it cannot be imported or called, or breaks the contract.
    """
    module = _import(reference.module, ref)
    factory = _find(module, reference, ref)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            network = factory(**reference.arguments)
        except Exception as error:
            raise ModelError(f"--model {ref}: the call failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"--model {ref} gave {describe(network)}; it has to give a torch.nn.Module")
    for method in ("encode", "decode"):
        if not callable(getattr(network, method, None)):
            raise ModelError(f"--model {ref} gave a {type(network).__name__} without a method {method}()")
    return UserVAE(network, reference, ref, image_size)


class UserVAE:
    """A user's module that keeps the protocol `VAE`, or says where it does not."""

    card: ModelCard

    def __init__(self, network: nn.Module, reference: ModuleReference, ref: str, image_size: int | None) -> None:
        self._network, self._ref = network, ref
        self._precision: Precision = "fp32"
        network.eval().requires_grad_(False)
        parameters = sum(p.numel() for p in network.parameters())
        digest = _digest(reference, network)
        size = image_size or image_size_of(network, ref)
        self.card = ModelCard("module", ref, digest, size, in_channels_of(network, ref), (), False, parameters)
        self._try(size or TRIAL_SIZE)

    def _try(self, size: int) -> None:
        """Run one black image through, for the latent's shape and whether there is a variance."""
        with torch.inference_mode():
            x = torch.zeros(1, self.card.in_channels, size, size)
            posterior = self.encode(x)
            latent, deterministic = tuple(posterior.mean.shape[1:]), posterior.logvar is None
            self.card = replace(self.card, latent_shape=latent, deterministic=deterministic)
            image = self.decode(posterior.mean)
        if tuple(image.shape) != tuple(x.shape):
            raise ModelError(
                f"--model {self._ref}: decode() gave {describe(image)} for the latent of an image of shape "
                f"{tuple(x.shape)}; it has to give an image of that shape"
            )
        low, high = float(image.min()), float(image.max())
        if low < -0.5 or high > 1.5:
            raise ModelError(
                f"--model {self._ref}: decode() gave pixels from {low:.2f} to {high:.2f} for a black image; encode() "
                "takes and decode() gives values in [0, 1]: rescale inside the module"
            )

    def prepare(self, device: str, precision: Precision) -> Self:
        """Move to a device; bf16 and fp16 run the module under `torch.autocast`."""
        self._network.to(device)
        self._precision = precision
        return self

    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors, float32.

        Raises:
            ModelError: the module gave something else.
        """
        given = self._run("encode", x_BCHW.contiguous())
        mean, logvar = posterior_parts(given, self._ref)
        if mean.ndim < 2 or len(mean) != len(x_BCHW):
            raise ModelError(
                f"--model {self._ref}: encode() gave a mean of shape {tuple(mean.shape)} for x of shape "
                f"{tuple(x_BCHW.shape)}; it has to be ({len(x_BCHW)}, ...), one row an image"
            )
        if logvar is not None and logvar.shape != mean.shape:
            raise ModelError(
                f"--model {self._ref}: encode() gave a mean of shape {tuple(mean.shape)} and a log-variance of "
                f"shape {tuple(logvar.shape)}; they have to be alike"
            )
        return DiagonalGaussian(mean.float(), None if logvar is None else logvar.float())

    def decode(self, z: Tensor) -> Tensor:
        """Give the images of latents (B, *latent): (B, C, H, W) float32.

        Raises:
            ModelError: the module gave something else.
        """
        image = self._run("decode", z.contiguous())
        if not isinstance(image, Tensor) or image.ndim != 4 or len(image) != len(z):
            raise ModelError(
                f"--model {self._ref}: decode() gave {describe(image)} for z of shape {tuple(z.shape)}; it has to give "
                f"a tensor of shape ({len(z)}, channels, height, width) with values in [0, 1]"
            )
        return image.float()

    def _run(self, method: str, argument: Tensor) -> Any:
        reduced = self._precision != "fp32"
        try:
            with torch.autocast(argument.device.type, DTYPES.get(self._precision), enabled=reduced):
                return getattr(self._network, method)(argument)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise ModelError(
                f"--model {self._ref}: {method}() failed on {describe(argument)}: {type(error).__name__}: {error}"
            ) from error


def _import(name: str, ref: str) -> ModuleType:
    shipping.look_in_working_directory()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ModelError(f"--model {ref}: the module {name} imports {error.name}, which is not here") from error
        raise ModelError(
            f"--model {ref}: there is no module {name}, neither in the working directory nor in the environment"
        ) from None
    except Exception as error:
        raise ModelError(f"--model {ref}: importing {name} failed: {type(error).__name__}: {error}") from error


def _find(module: ModuleType, reference: ModuleReference, ref: str) -> Any:
    found: Any = module
    for part in reference.callable.split("."):
        if not hasattr(found, part):
            raise ModelError(
                f"--model {ref}: {module.__name__} has no {reference.callable}; it has {_own_names(module)}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise ModelError(f"--model {ref}: {reference.callable} is {describe(found)}, not a class or function")
    return found


def _own_names(module: ModuleType) -> str:
    mine = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__]
    return ", ".join(mine) or "no classes or functions of its own"


def _digest(reference: ModuleReference, network: nn.Module) -> str:
    """Hash weights, arguments and source: what the values depend on, wherever the files lie."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    sources = shipping.sources_behind(reference.module)
    total.update(json.dumps([reference.callable, reference.arguments, sources], sort_keys=True).encode())
    return total.hexdigest()
