"""The linear VAE in closed form: probabilistic PCA, where the built-in network starts from.

A VAE whose encoder and decoder are linear has its best ELBO at the principal components of the data (Tipping and
Bishop 1999; Lucas, Tucker, Grosse and Norouzi 2019, "Don't blame the ELBO!", arXiv 1911.02469). They are computed in
seconds; by gradient steps they would take most of a short training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 64
"""Larger images are seen and drawn at this size: the components hold coarse things, and stay small."""

MSE_MIN = 1e-6


class LinearPath(nn.Module):
    """Fixed principal components, and a gain for each that training may change.

    Before `fit`, it adds nothing: zero to the posterior mean, mid-grey to the image.
    """

    center: Tensor
    """(P,), the mean image; P numbers of an image at the path's size, channels last."""
    loadings: Tensor
    """(P, Z), a component a column, as long as its standard deviation beyond sigma."""
    spread: Tensor
    """(Z,), variance of the images along each component."""

    def __init__(self, image_size: int, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.image_size, self.channels = image_size, channels
        self.side = min(image_size, SIDE)
        pixels = self.side**2 * channels
        self.register_buffer("center", torch.full((pixels,), 0.5))
        self.register_buffer("loadings", torch.zeros(pixels, latent_dim))
        self.register_buffer("spread", torch.ones(latent_dim))
        self.gain_in = nn.Parameter(torch.ones(latent_dim))
        self.gain_out = nn.Parameter(torch.ones(latent_dim))

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """Give the posterior mean (B, Z) of images, both float32."""
        # Rows of weights in memory: otherwise MKL adds up by an image's place in the batch, for some Z on some CPUs.
        rows = self.loadings.T.contiguous()
        projected = F.linear(self._flat(x_BCHW), rows, -(self.center @ self.loadings))
        return projected / self.spread * self.gain_in

    def decode(self, z: Tensor) -> Tensor:
        """Give images (B, C, H, W) of latents (B, Z), both float32; not limited to [0, 1]."""
        flat = torch.addmm(self.center, z * self.gain_out, self.loadings.T)
        x = flat.view(-1, self.side, self.side, self.channels).permute(0, 3, 1, 2)
        return x if self.side == self.image_size else F.interpolate(x, self.image_size, mode="bilinear")

    @torch.no_grad()
    def fit(self, x_BCHW: Tensor) -> Tensor:
        """Set the components from images.

        Args:
            x_BCHW: N images, float32 in [0, 1]; at most N - 1 components can be told from them, the rest stay zero.

        Returns:
            (Z,) the log-variance of the posterior, which is the same for every image.
        """
        flat = self._flat(x_BCHW)
        centred = flat - flat.mean(0)
        values, vectors = torch.linalg.eigh(centred @ centred.T / len(flat))
        count = min(len(self.spread), len(flat) - 1)
        values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
        total = centred.square().sum(1).mean()
        mse = ((total - values.sum()) / flat.shape[1]).clamp_min(MSE_MIN)
        found = values > 4 * mse  # a weaker one is hardly worth its rate, and may be chance
        values, vectors = values[found], vectors[:, found]
        directions = centred.T @ vectors / (values * len(flat)).sqrt()
        logvar = torch.zeros_like(self.spread)
        self.center.copy_(flat.mean(0))
        self.loadings.zero_()[:, : len(values)] = directions * (values - mse).sqrt()
        self.spread.fill_(1.0)[: len(values)] = values
        logvar[: len(values)] = (mse / values).log()
        return logvar

    def shrink(self, x_BCHW: Tensor) -> Tensor:
        """Give images at the path's own size; those that have it already as they are."""
        return x_BCHW if x_BCHW.shape[-1] == self.side else F.interpolate(x_BCHW, self.side, mode="area")

    def _flat(self, x_BCHW: Tensor) -> Tensor:
        """(B, P) at the path's own size; without a copy where channels lie last."""
        x_BCHW = self.shrink(x_BCHW)
        return x_BCHW.permute(0, 2, 3, 1).reshape(len(x_BCHW), -1)
