"""The network of the β-VAE papers, as published for images of 64×64 pixels.

Burgess et al. 2018, "Understanding disentangling in β-VAE", arXiv 1804.03599, appendix A.1; a smaller relative of what
Higgins et al. 2017, "β-VAE", table 1, have for CelebA. With ten dimensions:

    encoder   4 × convolution, 32 channels, kernel 4, stride 2, ReLU     64×64 to 4×4
              2 × fully connected, 256, ReLU
    head      fully connected, 20: mean and log-variance
    decoder   the transpose of the encoder; gives the logit of a Bernoulli distribution per pixel and channel

The papers' head gives the logarithm of sigma, ours that of its square, as everywhere in this package.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_batch.errors import ModelError
from vae_batch.models.gaussian import DiagonalGaussian
from vae_batch.models.network import TrainableVAE, clamped, full_precision

IMAGE_SIZE, CHANNELS, FEATURES, GRID = 64, 32, 256, 4


@dataclass(frozen=True, slots=True)
class BurgessConfig:
    """The network's shape: all but the latent's dimensions is as published."""

    image_size: int = IMAGE_SIZE
    """Pixels a side: 64."""
    latent_dim: int = 10
    """Z, dimensions of the posterior."""
    in_channels: int = 3
    """3 for RGB, 1 for gray."""

    def __post_init__(self) -> None:
        if self.image_size != IMAGE_SIZE:
            raise ModelError(
                f"image_size={self.image_size}: the burgess network takes {IMAGE_SIZE}, the size it was published for"
            )
        for name in ("latent_dim", "in_channels"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name}={getattr(self, name)}: the burgess network needs at least 1")

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(Z,)."""
        return (self.latent_dim,)


def down(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Halve the side."""
    return nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1)


def up(channels_in: int, channels_out: int) -> nn.ConvTranspose2d:
    """Double the side."""
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)


def encoder(config: BurgessConfig) -> nn.Sequential:
    """(B, C, 64, 64) to features (B, 256)."""
    layers: list[nn.Module] = []
    for channels in (config.in_channels, CHANNELS, CHANNELS, CHANNELS):
        layers += [down(channels, CHANNELS), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(CHANNELS * GRID**2, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES)]
    return nn.Sequential(*layers, nn.ReLU())


def decoder(config: BurgessConfig) -> nn.Sequential:
    """Latents (B, Z) to logits (B, C, 64, 64)."""
    layers: list[nn.Module] = []
    for features in (config.latent_dim, FEATURES):
        layers += [nn.Linear(features, FEATURES), nn.ReLU()]
    layers += [nn.Linear(FEATURES, CHANNELS * GRID**2), nn.ReLU(), nn.Unflatten(1, (CHANNELS, GRID, GRID))]
    for _ in range(3):
        layers += [up(CHANNELS, CHANNELS), nn.ReLU()]
    return nn.Sequential(*layers, up(CHANNELS, config.in_channels))


class BurgessVAE(TrainableVAE):
    """The network, made for the Bernoulli likelihood."""

    family = "burgess"
    config: BurgessConfig

    def __init__(self, config: BurgessConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder(config)
        self.head = nn.Linear(FEATURES, 2 * config.latent_dim)
        self.decoder = decoder(config)
        self.card = self.describe()

    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors of images (B, C, 64, 64): mean and logvar (B, Z), float32."""
        features = self.encoder(x_BCHW.contiguous(memory_format=torch.channels_last).to(self.dtype()))
        with full_precision(x_BCHW):
            mean, logvar = self.head(features.float()).chunk(2, dim=1)
        return clamped(mean, logvar)

    def logits(self, z: Tensor) -> Tensor:
        """Give the logits of p(x|z) for latents (B, Z): (B, C, 64, 64) float32."""
        logits: Tensor = self.decoder(z.to(self.dtype()))
        return logits.float()

    def expected(self, z: Tensor) -> Tensor:
        """Give the mean of p(x|z): (B, C, 64, 64) float32, within [0, 1]."""
        return self.logits(z).sigmoid()
