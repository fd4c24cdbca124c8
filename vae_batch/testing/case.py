"""A model under test."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_batch.models import VAE, DiagonalGaussian, ModelCard, load_model
from vae_batch.models.user_module import wrap

BATCH = 8


@dataclass(slots=True)
class Case:
    """A model prepared in fp32 on the CPU, with a batch of images and their posterior."""

    again: Callable[[], VAE]
    """Loads the model once more; not prepared yet."""
    model: VAE
    x: Tensor
    """(B, C, S, S): black, white, noise, then smooth images."""
    posterior: DiagonalGaussian
    notes: list[str] = field(default_factory=list)


def require(condition: object, message: str) -> None:
    """Raise AssertionError; unlike the statement, under `python -O` too."""
    if not condition:
        raise AssertionError(message)


def make_case(model: str | VAE | nn.Module, image_size: int | None, trust_model_code: bool) -> Case:
    """Load a model and encode a batch. Raises AssertionError, ModelError."""
    first, again = _loaders(model, image_size, trust_model_code)
    prepared = first().prepare("cpu", "fp32")
    require(isinstance(prepared, VAE), f"prepare() has to give the model itself; it gave {type(prepared).__name__}")
    card = prepared.card
    require(card.in_channels in (1, 3), f"the card's in_channels is {card.in_channels}; images have 1 or 3")
    x = pictures(card.nearest_batch(BATCH), card.in_channels, image_size or card.image_size or 64)
    posterior = prepared.encode(x.clone())
    given = type(posterior).__name__
    require(
        isinstance(posterior, DiagonalGaussian), f"encode() of a VAE has to give a DiagonalGaussian; it gave a {given}"
    )
    return Case(again, prepared, x, posterior)


def pictures(count: int, channels: int, size: int) -> Tensor:
    """Images to try a model with: black, white, noise, then smooth ones; (count, channels, size, size) in [0, 1]."""
    x = F.interpolate(torch.rand(count, channels, 4, 4), size, mode="bilinear")
    for slot, image in enumerate([torch.zeros(()), torch.ones(()), torch.rand(channels, size, size)][:count]):
        x[slot] = image
    return x


def _loaders(
    model: str | VAE | nn.Module, image_size: int | None, trust_model_code: bool
) -> tuple[Callable[[], VAE], Callable[[], VAE]]:
    """Give two ways to the model: as it is, and loaded once more."""
    if isinstance(model, str):
        load = lambda: load_model(model, image_size, trust_model_code)  # noqa: E731
        return load, load
    if isinstance(model, VAE) and isinstance(model.card, ModelCard):
        whole = model
        return lambda: copy.deepcopy(whole), lambda: copy.deepcopy(whole)
    require(isinstance(model, nn.Module), f"{model!r} is neither a reference, a VAE nor a torch module")
    name = type(model).__name__
    return (
        lambda: wrap(copy.deepcopy(model), name, image_size, "module", None),
        lambda: wrap(_saved_and_loaded(model), name, image_size, "module", None),
    )


def _saved_and_loaded(network: nn.Module) -> nn.Module:
    """Give a copy whose weights went through a file, and are none but those."""
    file, again = io.BytesIO(), copy.deepcopy(network)
    torch.save(network.state_dict(), file)
    for tensor in again.state_dict().values():
        tensor.zero_()
    file.seek(0)
    try:
        again.load_state_dict(torch.load(file, weights_only=True))
    except Exception as error:
        raise AssertionError(f"the weights cannot be saved and loaded by state_dict: {error}") from error
    return again
