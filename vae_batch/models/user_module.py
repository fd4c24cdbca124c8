"""A torch module of the user's as a `VAE`: found, called, and held to the contract.

The contract: `encode(x)`, x float in [0, 1] of shape (B, C, H, W), gives a `(mean, logvar)` pair, a
`DiagonalGaussian`, or, from a deterministic autoencoder, one tensor; `decode(z)` gives images in [0, 1]. Attributes
of the module or of its `config` may say more: `image_size` or `sample_size`, `in_channels` (1 or 3).
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn

from vae_batch.errors import ModelError
from vae_batch.models import shipping
from vae_batch.models.base import ModelCard, Precision
from vae_batch.models.contract import describe, image_of, posterior_of, tried
from vae_batch.models.contract import image_size as image_size_of
from vae_batch.models.contract import in_channels as in_channels_of
from vae_batch.models.entry_points import known_families
from vae_batch.models.gaussian import DiagonalGaussian
from vae_batch.models.reference import ModuleReference

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Network(Protocol):
    """What `UserVAE` needs of what it wraps: a torch module with `encode` and `decode`, or exported programs."""

    def encode(self, x: Tensor) -> Any:
        """(B, C, H, W) in [0, 1] to (mean, logvar), a `DiagonalGaussian`, or one tensor."""
        ...

    def decode(self, z: Tensor) -> Any:
        """(B, *latent) to (B, C, H, W) in [0, 1]."""
        ...

    def to(self, device: str) -> Any:
        """Move to a device, in place."""
        ...


def load_module(reference: ModuleReference, ref: str, image_size: int | None) -> UserVAE:
    """Import, call and try a user's module.

    Raises:
        ModelError: it cannot be imported or called, or breaks the contract.
    """
    module = _import(reference.module, ref)
    factory = _find(module, reference, ref)
    network = call(lambda: factory(**reference.arguments), ref)
    sources = shipping.sources_behind(reference.module)
    return wrap(network, ref, image_size, "module", [reference.callable, reference.arguments, sources])


def call(factory: Callable[[], Any], ref: str) -> Any:
    """Call what makes a model; weights that it draws rather than loads come from seed 0: the same in every replica.

    Raises:
        ModelError: the call fails.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return factory()
        except Exception as error:
            raise ModelError(f"--model {ref}: the call failed: {type(error).__name__}: {error}") from error


def wrap(
    network: Any,
    ref: str,
    image_size: int | None,
    family: str,
    identity: object,
    transform: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> UserVAE:
    """Make a `VAE` of a torch module, and try it.

    Args:
        network: should be a torch module with `encode` and `decode`.
        ref: as the user gave it.
        image_size: pixels a side; None: the module's own.
        family, transform, extra: of its card.
        identity: what determines its values beside its weights, as JSON has it; goes into the digest.

    Raises:
        ModelError: it is no such module, or breaks the contract.
    """
    if not isinstance(network, nn.Module):
        raise ModelError(f"--model {ref} gave {describe(network)}; it has to give a torch.nn.Module")
    for method in ("encode", "decode"):
        if not callable(getattr(network, method, None)):
            raise ModelError(f"--model {ref} gave a {type(network).__name__} without a method {method}()")
    network.eval().requires_grad_(False)
    size, channels = image_size or image_size_of(network, ref), in_channels_of(network, ref)
    parameters = sum(p.numel() for p in network.parameters())
    digest = _digest(network, identity)
    card = ModelCard(family, ref, digest, size, channels, (), False, parameters, transform, extra or {})
    return UserVAE(cast(Network, network), ref, card)


class UserVAE:
    """A model of the user's that keeps the protocol `VAE`, or says where it does not.

    Args:
        network: in evaluation mode.
        ref: as the user gave it, for messages.
        card: of what is known; the rest is found by a trial.
    """

    card: ModelCard

    def __init__(self, network: Network, ref: str, card: ModelCard) -> None:
        self._network, self._ref, self.card = network, ref, card
        self._precision: Precision = "fp32"
        self.card = tried(self, ref, card.image_size)

    def prepare(self, device: str, precision: Precision) -> Self:
        """Move to a device; bf16 and fp16 run the network under `torch.autocast`."""
        self._network.to(device)
        self._precision = precision
        return self

    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors, float32.

        Raises:
            ModelError: the network gave something else.
        """
        return posterior_of(self._run("encode", x_BCHW.contiguous()), x_BCHW, self._ref)

    def decode(self, z: Tensor) -> Tensor:
        """Give the images of latents (B, *latent): (B, C, H, W) float32.

        Raises:
            ModelError: the network gave something else, or has no decoder.
        """
        return image_of(self._run("decode", z.contiguous()), z, self._ref)

    def _run(self, method: str, argument: Tensor) -> Any:
        reduced = self._precision != "fp32"
        try:
            with torch.autocast(argument.device.type, DTYPES.get(self._precision), enabled=reduced):
                return getattr(self._network, method)(argument)
        except (torch.OutOfMemoryError, ModelError):
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
            f"--model {ref}: there is no module {name}, neither in the working directory nor in the environment; "
            f"families of models that are plugged in: {known_families()}"
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


def _digest(network: nn.Module, identity: object) -> str:
    """Hash the weights and what else the values depend on, wherever the files lie."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    total.update(json.dumps(identity, sort_keys=True).encode())
    return total.hexdigest()
