"""The built-in convolutional VAE: an encoder of about two million parameters, made to be fast on CPUs too.

Shapes: B images, C channels, H = W = `image_size`, Z latent dimensions. Pixels in [0, 1] on both sides.

Both halves work on patches of 4×4 pixels, never on single pixels: space is folded into channels first and unfolded
last (Shi et al. 2016, arXiv 1609.05158), so that all arithmetic is in wide, dense convolutions. No batch
normalisation: training and inference compute the same function, and images never see their neighbours in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_batch.errors import ModelError
from vae_batch.models.gaussian import DiagonalGaussian
from vae_batch.models.linear import LinearPath
from vae_batch.models.network import TrainableVAE, clamped, full_precision
from vae_batch.models.patches import Fold, Unfold

PATCH = 4
SLOPE = 0.1
"""Of the leaky rectifiers below zero: without normalisation, plain ones can die all at once in a few early steps."""


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

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(Z,)."""
        return (self.latent_dim,)

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


def rectify(h: Tensor) -> Tensor:
    """Leaky rectifier, in place."""
    return F.leaky_relu_(h, SLOPE)


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, channels, h, w) to the same."""
        detail: Tensor = self.second(rectify(self.first(h)))
        return rectify(h + detail)


def encoder(config: ConvConfig) -> nn.Sequential:
    """(B, C, H, W) to features (B, F)."""
    width, *wider = config.levels()
    patches = config.in_channels * PATCH**2
    layers = [Fold(PATCH), nn.Conv2d(patches, width, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
    for channels in wider:
        down = nn.Conv2d(width, channels, 4, stride=2, padding=1)
        layers += [down, nn.LeakyReLU(SLOPE, inplace=True), Residual(channels)]
        width = channels
    return nn.Sequential(*layers, nn.Flatten())


class Decoder(nn.Module):
    """From latents and the linear VAE's sketch of the images to the detail that the sketch lacks.

    The sketch goes down level by level, meets the latents on the coarsest grid, and on the way up each level sees
    the sketch again: most of what is missing is near what is there.
    """

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        levels, grid, patches = config.levels(), config.grid(), config.in_channels * PATCH**2
        finest, coarsest = levels[0], levels[-1]
        downward, upward = list(pairwise(levels)), list(pairwise(reversed(levels)))
        self.fold, self.unfold = Fold(PATCH), Unfold(PATCH)
        self.down = nn.ModuleList(
            [nn.Conv2d(patches, finest, 3, padding=1)] + [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in downward]
        )
        self.latent = nn.Sequential(
            nn.Linear(config.latent_dim, coarsest * grid**2), nn.Unflatten(1, (coarsest, grid, grid))
        )
        self.up = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(a, 4 * b, 3, padding=1), nn.PixelShuffle(2)) for a, b in upward]
        )
        self.residual = nn.ModuleList([Residual(channels) for channels in reversed(levels)])
        self.pixels = nn.Conv2d(finest, patches, 3, padding=1)

    def forward(self, z: Tensor, sketch_BCHW: Tensor) -> Tensor:
        """(B, Z) and (B, C, H, W), centred on zero, to (B, C, H, W)."""
        sketches, h = [], self.fold(sketch_BCHW)
        for down in self.down:
            h = rectify(down(h))
            sketches.append(h)
        h = self.residual[0](rectify(self.latent(z) + sketches.pop()))
        for up, residual in zip(self.up, self.residual[1:], strict=True):
            h = residual(rectify(up(h) + sketches.pop()))
        detail: Tensor = self.unfold(self.pixels(h))
        return detail


class ConvVAE(TrainableVAE):
    """The network: a linear VAE, and convolutions that learn what it cannot."""

    family = "conv"
    config: ConvConfig
    decoder: Decoder

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = LinearPath(config.image_size, config.in_channels, config.latent_dim)
        self.encoder = encoder(config)
        self.head = nn.Linear(config.levels()[-1] * config.grid() ** 2, 2 * config.latent_dim)
        self.decoder = Decoder(config)
        self.card = self.describe()

    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors of images (B, C, H, W), float32 in [0, 1].

        Mean and logvar (B, Z) and all that leads from the features to them are float32; logvar lies in [-14, 6].
        """
        x = x_BCHW.contiguous(memory_format=torch.channels_last)
        features = self.encoder((x - 0.5).to(self.dtype()))
        with full_precision(x):
            mean, logvar = self.head(features.float()).chunk(2, dim=1)
            mean = mean + self.linear.encode(x)
        return clamped(mean, logvar)

    def expected(self, z: Tensor) -> Tensor:
        """Give the mean of p(x|z), (B, C, H, W) float32, not yet limited to [0, 1]: what training compares."""
        with full_precision(z):
            sketch = self.linear.decode(z)
        detail: Tensor = self.decoder(z.to(self.dtype()), (sketch - 0.5).to(self.dtype()))
        return sketch + detail.float()

    def start_from(self, x_BCHW: Tensor) -> None:
        """Begin as the best linear VAE of some images (N, C, H, W), float32 in [0, 1]; the convolutions add nothing."""
        for parameter in (*self.head.parameters(), *self.decoder.pixels.parameters()):
            nn.init.zeros_(parameter)
        with torch.no_grad():
            self.head.bias[self.config.latent_dim :] = self.linear.fit(x_BCHW)

    def reduced(self, x_BCHW: Tensor) -> Tensor:
        """See `TrainableVAE`."""
        return self.linear.shrink(x_BCHW)
