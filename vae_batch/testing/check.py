"""`check_vae`: whether a model keeps the contract."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from vae_batch.errors import ModelError
from vae_batch.models import VAE, ModelCard
from vae_batch.testing.case import make_case
from vae_batch.testing.checks import CHECKS


@dataclass(frozen=True, slots=True)
class Report:
    """What `check_vae` found in a model that keeps the contract."""

    card: ModelCard
    checks: tuple[str, ...]
    """What holds, a sentence each."""
    notes: tuple[str, ...]
    """What is no error, but worth a look."""

    def __str__(self) -> str:
        shape = "×".join(map(str, self.card.latent_shape))
        first = f"{self.card.family} {self.card.reference}: latents of {shape}"
        return "\n".join([first, *(f"ok    {c}" for c in self.checks), *(f"note  {n}" for n in self.notes)])


def check_vae(model: str | VAE | nn.Module, image_size: int | None = None, trust_model_code: bool = False) -> Report:
    """Test whether a model keeps the contract of `vae_batch.models.VAE`, on the CPU.

    Shapes, types, finite values and ranges; equal results for equal batches; rows that depend neither on their place
    in a batch nor on the other images; float32 out of bf16; the same model when it is loaded once more.

    Args:
        model: what `--model` takes, or a torch module with `encode` and `decode`, or a whole `VAE`. It is copied.
        image_size: pixels a side; None: the model's own, else 64.
        trust_model_code: see `load_model`.

    Returns:
        What was found to hold.

    Raises:
        AssertionError: something does not; the message says what, and what to do.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            case = make_case(model, image_size, trust_model_code)
            checks = tuple(check(case) for check in CHECKS)
    except ModelError as error:
        raise AssertionError(str(error)) from error
    return Report(case.model.card, checks, tuple(case.notes))
