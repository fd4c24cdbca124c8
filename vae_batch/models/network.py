"""What the built-in networks share: how training and saving see them, and how they are made ready to encode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import Field
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from vae_batch.models.base import ModelCard, Precision
from vae_batch.models.gaussian import DiagonalGaussian

LOGVAR_MIN, LOGVAR_MAX = -14.0, 6.0
"""Clamp of the log-variance: sigma from 0.001 to 20, far outside what a trained posterior has."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class NetworkConfig(Protocol):
    """A network's shape: a frozen dataclass, whose fields config.json holds."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        ...

    @property
    def in_channels(self) -> int:
        """3 for RGB, 1 for gray."""
        ...

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Of one image's latent: (Z,), or (Z, g, g) for a map."""
        ...


class TrainableVAE(nn.Module, ABC):
    """A network that can be trained and saved; it keeps the protocol `VAE`.

    One made for the Bernoulli likelihood also has `logits(z)`, (B, C, H, W) float32, of which `expected` is the
    sigmoid.
    """

    family: ClassVar[str]
    """Its name in `families.FAMILIES`."""
    config: NetworkConfig
    card: ModelCard
    encoder: nn.Module
    """From images to features: runs in the precision of `prepare`, as does `decoder`; all else stays float32."""
    decoder: nn.Module

    @abstractmethod
    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors of images (B, C, H, W), float32 in [0, 1].

        Mean and logvar (B, *latent) and the head that gives them are float32; logvar lies in [-14, 6].
        """

    @abstractmethod
    def expected(self, z: Tensor) -> Tensor:
        """Give the mean of p(x|z), (B, C, H, W) float32, for latents (B, *latent): what training compares."""

    def decode(self, z: Tensor) -> Tensor:
        """Give the images of latents (B, *latent): (B, C, H, W) float32 in [0, 1]."""
        return self.expected(z).clamp(0.0, 1.0)

    def start_from(self, x_BCHW: Tensor) -> None:
        """Begin training, once, in sight of some images, float32 in [0, 1]; as drawn, where nothing better is known.

        Args:
            x_BCHW: what `reduced` gave for the images.
        """

    def reduced(self, x_BCHW: Tensor) -> Tensor:
        """Give what `start_from` wants to see of images: smaller ones, where it looks no closer."""
        return x_BCHW

    def prepare(self, device: str, precision: Precision) -> Self:
        """Make ready for inference, once: encoder and decoder in the given precision, the head in float32."""
        self.to(device).eval().requires_grad_(False)
        for half in (self.encoder, self.decoder):
            half.to(DTYPES[precision]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def dtype(self) -> torch.dtype:
        """What encoder and decoder are kept in; an autocast around training is none of their business."""
        return next(self.encoder.parameters()).dtype

    def describe(self) -> ModelCard:
        """Give the card of a network that has no name and no digest yet."""
        c, parameters = self.config, sum(t.numel() for t in self.state_dict().values())
        return ModelCard(self.family, "", "", c.image_size, c.in_channels, c.latent_shape, False, parameters)


def clamped(mean: Tensor, logvar: Tensor) -> DiagonalGaussian:
    """Give the posterior with its log-variance kept within [-14, 6]."""
    return DiagonalGaussian(mean, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX))


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """Keep an autocast around training from what has to be float32."""
    return torch.autocast(x.device.type, enabled=False)
