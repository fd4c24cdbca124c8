"""The residual VAE: for 64 to 256 pixels, its latent a vector or a map.

Shapes: B images, C channels, H = W = `image_size`, Z latent dimensions, or Z channels on g×g places; p = H/g pixels a
side belong to a place (a vector has one place). Pixels in [0, 1] on both sides.

Pre-activation residual blocks (He et al. 2016, arXiv 1603.05027) with group norm (Wu and He 2018, arXiv 1803.08494)
and SiLU: each image is normalised by itself and never sees its neighbours in a batch. Like the conv network, it starts
as the best linear VAE, of whole images or, for a map, of the patch of p×p pixels at each place.
"""

from __future__ import annotations

import math
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

SMALLEST, LARGEST = 64, 256
FOLD = 2
"""Pixels a side that the finest level takes together."""
BLOCKS = 2
"""Residual blocks a level, in each half."""
WIDEST = 4
"""Channels of the coarsest levels, in widths."""
GROUPS = 32
START_PATCHES = 1024
"""Patches that a map's linear start is computed from."""


@dataclass(frozen=True, slots=True)
class ResNetConfig:
    """The network's shape."""

    image_size: int = 64
    """Pixels a side, from 64 to 256: a multiple of 16, or `latent_grid` times a power of two."""
    latent_dim: int = 64
    """Z, dimensions of the posterior; with `latent_grid`, its channels."""
    latent_grid: int | None = None
    """g, places a side of the latent map; None: the latent is a vector."""
    width: int = 64
    """Channels at half the image size; twice as many on each level below, up to four times."""
    in_channels: int = 3
    """3 for RGB, 1 for gray."""

    def __post_init__(self) -> None:
        for name in ("latent_dim", "latent_grid", "width", "in_channels"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ModelError(f"{name}={value}: the resnet network needs at least 1")
        if self.image_size not in (sizes := self.sizes()):
            of_map = f" with latent_grid={self.latent_grid}" if self.latent_grid else ""
            suit = ", ".join(map(str, sizes)) or f"none: {SMALLEST} to {LARGEST} is no power of two times that"
            raise ModelError(f"image_size={self.image_size}: the sizes that suit the resnet network{of_map} are {suit}")

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(Z,) or (Z, g, g)."""
        return (self.latent_dim,) if self.latent_grid is None else (self.latent_dim, self.latent_grid, self.latent_grid)

    def sizes(self) -> list[int]:
        """Image sizes that suit."""
        if self.latent_grid is None:
            return list(range(SMALLEST, LARGEST + 1, 16))
        doubled = (self.latent_grid * FOLD << level for level in range(8))
        return [size for size in doubled if SMALLEST <= size <= LARGEST]

    def sides(self) -> list[int]:
        """Give the side of the features level by level: from half the image's down to the map's, or to 4 to 15."""
        sides = [self.image_size // FOLD]
        while sides[-1] > self.latent_grid if self.latent_grid else sides[-1] >= 8 and sides[-1] % 2 == 0:
            sides.append(sides[-1] // 2)
        return sides

    def levels(self) -> list[int]:
        """Give the channels level by level, from the finest."""
        return [self.width * min(2**level, WIDEST) for level in range(len(self.sides()))]


def norm(channels: int) -> nn.GroupNorm:
    """Group norm in 32 groups, or as many as divide the channels."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """3×3, which keeps the side or halves it."""
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)


class Residual(nn.Module):
    """Twice group norm, SiLU and a convolution, beside the identity, which alone is there at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(channels), conv(channels, channels)
        self.norm2, self.conv2 = norm(channels), conv(channels, channels)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, h: Tensor) -> Tensor:
        """(B, channels, h, w) to the same."""
        detail = self.conv1(F.silu(self.norm1(h)))
        detail = self.conv2(F.silu(self.norm2(detail)))
        total: Tensor = h + detail
        return total


def blocks(channels: int) -> list[nn.Module]:
    """Give the residual blocks of a level."""
    return [Residual(channels) for _ in range(BLOCKS)]


def encoder(config: ResNetConfig) -> nn.Sequential:
    """(B, C, H, W) to features (B, F, g, g), or (B, F) for a vector."""
    levels = config.levels()
    layers = [Fold(FOLD), conv(config.in_channels * FOLD**2, levels[0]), *blocks(levels[0])]
    for finer, coarser in pairwise(levels):
        layers += [conv(finer, coarser, stride=2), *blocks(coarser)]
    layers += [norm(levels[-1]), nn.SiLU()]
    return nn.Sequential(*layers, *([] if config.latent_grid else [nn.Flatten()]))


def head(config: ResNetConfig) -> nn.Module:
    """Features to mean and log-variance, (B, 2·Z) or (B, 2·Z, g, g)."""
    channels, side, outputs = config.levels()[-1], config.sides()[-1], 2 * config.latent_dim
    return conv(channels, outputs) if config.latent_grid else nn.Linear(channels * side**2, outputs)


def decoder(config: ResNetConfig) -> nn.Sequential:
    """Latents to the pixels (B, C, H, W) that the linear path lacks."""
    levels, side = config.levels(), config.sides()[-1]
    coarsest, patches = levels[-1], config.in_channels * FOLD**2
    layers: list[nn.Module] = [conv(config.latent_dim, coarsest)]
    if config.latent_grid is None:
        layers = [nn.Linear(config.latent_dim, coarsest * side**2), nn.Unflatten(1, (coarsest, side, side))]
    layers += blocks(coarsest)
    for coarser, finer in pairwise(reversed(levels)):
        layers += [nn.Upsample(scale_factor=2), conv(coarser, finer), *blocks(finer)]
    return nn.Sequential(*layers, norm(levels[0]), nn.SiLU(), conv(levels[0], patches), Unfold(FOLD))


class ResNetVAE(TrainableVAE):
    """The network: a linear VAE, and residual blocks that learn what it cannot."""

    family = "resnet"
    config: ResNetConfig
    decoder: nn.Sequential

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.places = config.latent_grid or 1
        self.linear = LinearPath(config.image_size // self.places, config.in_channels, config.latent_dim)
        self.encoder, self.head, self.decoder = encoder(config), head(config), decoder(config)
        self.card = self.describe()

    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors of images (B, C, H, W), float32 in [0, 1].

        Mean and logvar, (B, Z) or (B, Z, g, g), and all that leads from the features to them are float32; logvar lies
        in [-14, 6].
        """
        x = x_BCHW.contiguous(memory_format=torch.channels_last)
        features = self.encoder((x - 0.5).to(self.dtype()))
        with full_precision(x):
            mean, logvar = self.head(features.float()).chunk(2, dim=1)
            mean = mean + self._to_map(self.linear.encode(self._patches(x).flatten(0, 2)))
        return clamped(mean, logvar)

    def expected(self, z: Tensor) -> Tensor:
        """Give the mean of p(x|z), (B, C, H, W) float32, not yet limited to [0, 1]."""
        with full_precision(z):
            places = z if self.config.latent_grid is None else z.permute(0, 2, 3, 1).flatten(0, 2)
            sketch = self._join(self.linear.decode(places))
        detail: Tensor = self.decoder(z.to(self.dtype()))
        return sketch + detail.float()

    def start_from(self, x_BCHW: Tensor) -> None:
        """Begin as the best linear VAE of some images (N, C, H, W), float32 in [0, 1]; the blocks add nothing."""
        patches, g = self._patches(x_BCHW), self.places
        some = torch.randperm(len(x_BCHW) * g**2, generator=torch.Generator().manual_seed(0))[:START_PATCHES]
        chosen = patches[some // g**2, some // g % g, some % g]  # copies these alone
        for parameter in (*self.head.parameters(), *self.decoder[-2].parameters()):
            nn.init.zeros_(parameter)
        with torch.no_grad():
            self.head.get_parameter("bias")[self.config.latent_dim :] = self.linear.fit(chosen)

    def reduced(self, x_BCHW: Tensor) -> Tensor:
        """See `TrainableVAE`."""
        return self.linear.shrink(x_BCHW) if self.places == 1 else x_BCHW

    def _patches(self, x_BCHW: Tensor) -> Tensor:
        """View (B, C, H, W) as (B, g, g, C, p, p): what each place of the latent has for itself."""
        (b, c, h, w), g = x_BCHW.shape, self.places
        return x_BCHW.view(b, c, g, h // g, g, w // g).permute(0, 2, 4, 1, 3, 5)

    def _join(self, x: Tensor) -> Tensor:
        """(B·g·g, C, p, p) to (B, C, H, W): the inverse of `_patches`, flattened."""
        (_, c, p, _), g = x.shape, self.places
        return x.reshape(-1, g, g, c, p, p).permute(0, 3, 1, 4, 2, 5).reshape(-1, c, g * p, g * p)

    def _to_map(self, z: Tensor) -> Tensor:
        """(B·g·g, Z) to the latent's shape."""
        g = self.config.latent_grid
        return z if g is None else z.reshape(-1, g, g, z.shape[1]).permute(0, 3, 1, 2)
