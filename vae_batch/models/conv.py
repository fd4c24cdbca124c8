"""The built-in convolutional VAE: an encoder of about two million parameters, made to be fast on CPUs too.

Shapes: B images, C channels, H = W = `image_size`, Z latent dimensions. Pixels in [0, 1] on both sides.

Both halves work on patches of 4×4 pixels, never on single pixels: space is folded into channels first and unfolded
last (Shi et al. 2016, arXiv 1609.05158), so that all arithmetic is in wide, dense convolutions. No batch
normalisation: training and inference compute the same function, and images never see their neighbours in a batch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from vae_batch.errors import ModelError
from vae_batch.models.base import ModelCard, Precision
from vae_batch.models.gaussian import DiagonalGaussian

PATCH = 4
LOGVAR_MIN, LOGVAR_MAX = -14.0, 6.0
"""Clamp of the log-variance: sigma from 0.001 to 20, far outside what a trained posterior has."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class ConvConfig:
    """The network's shape."""

    image_size: int = 64
    """Pixels a side: a multiple of 16."""
    latent_dim: int = 64
    """Z, dimensions of the posterior."""
    width: int = 48
    """Channels at a quarter of the image size; twice and four times as many below."""
    in_channels: int = 3
    """3 for RGB, 1 for gray."""

    def __post_init__(self) -> None:
        if self.image_size < 16 or self.image_size % 16:
            raise ModelError(f"image_size={self.image_size}: the conv network takes multiples of 16, from 16")
        for name in ("latent_dim", "width", "in_channels"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name}={getattr(self, name)}: the conv network needs at least 1")

    def levels(self) -> list[int]:
        """Channels level by level, from a quarter of the image size down, halved while even and at least 8."""
        side, channels = self.image_size // PATCH, [self.width]
        while side >= 8 and side % 2 == 0:
            side //= 2
            channels.append(min(2 * channels[-1], 4 * self.width))
        return channels

    def grid(self) -> int:
        """Give the side of the coarsest feature map."""
        return self.image_size // PATCH >> len(self.levels()) - 1


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, channels, h, w) to the same."""
        return (h + self.second(self.first(h).relu_())).relu_()


def encoder(config: ConvConfig) -> nn.Sequential:
    """(B, C, H, W) to features (B, F)."""
    width, *wider = config.levels()
    patches = config.in_channels * PATCH**2
    layers = [nn.PixelUnshuffle(PATCH), nn.Conv2d(patches, width, 3, padding=1), nn.ReLU(inplace=True)]
    for channels in wider:
        down = nn.Conv2d(width, channels, 4, stride=2, padding=1)
        layers += [down, nn.ReLU(inplace=True), Residual(channels)]
        width = channels
    return nn.Sequential(*layers, nn.Flatten())


def decoder(config: ConvConfig) -> nn.Sequential:
    """(B, Z) to logits (B, C, H, W)."""
    *finer, width = config.levels()
    grid = config.grid()
    layers = [nn.Linear(config.latent_dim, width * grid**2), nn.Unflatten(1, (width, grid, grid))]
    layers += [nn.ReLU(inplace=True), Residual(width)]
    for channels in reversed(finer):
        up = nn.Conv2d(width, 4 * channels, 3, padding=1)
        layers += [up, nn.PixelShuffle(2), nn.ReLU(inplace=True), Residual(channels)]
        width = channels
    pixels = nn.Conv2d(width, config.in_channels * PATCH**2, 3, padding=1)
    return nn.Sequential(*layers, pixels, nn.PixelShuffle(PATCH))


class ConvVAE(nn.Module):
    """The network; keeps the protocol `vae_batch.models.VAE`."""

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder(config)
        features = config.levels()[-1] * config.grid() ** 2
        self.head = nn.Linear(features, 2 * config.latent_dim)
        self.decoder = decoder(config)
        self.card = self._card()

    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors; mean and logvar (B, Z) float32, logvar in [-14, 6]. The head is float32 always."""
        x = x_BCHW.to(self._dtype(), memory_format=torch.channels_last)
        features = self.encoder(x)
        with _full_precision(x):
            mean, logvar = self.head(features.float()).chunk(2, dim=1)
        return DiagonalGaussian(mean, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX))

    def decode(self, z: Tensor) -> Tensor:
        """Give the images of latents (B, Z): (B, C, H, W) float32 in [0, 1]."""
        return self.decoder(z.to(self._dtype())).float().sigmoid()

    def prepare(self, device: str, precision: Precision) -> Self:
        """Make ready for inference: encoder and decoder in the given precision, the head in float32."""
        self.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.encoder.to(DTYPES[precision])
        self.decoder.to(DTYPES[precision])
        return self

    def _dtype(self) -> torch.dtype:
        """What the convolutions are kept in; an autocast around training is none of their business."""
        return next(self.encoder.parameters()).dtype

    def _card(self) -> ModelCard:
        c, parameters = self.config, sum(p.numel() for p in self.parameters())
        return ModelCard("conv", "", "", c.image_size, c.in_channels, (c.latent_dim,), False, parameters)


def _full_precision(x: Tensor) -> AbstractContextManager[None]:
    return torch.autocast(x.device.type, enabled=False)
