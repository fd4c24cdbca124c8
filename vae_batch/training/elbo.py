"""The evidence lower bound of a batch, rate and distortion apart, in nats per image."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from vae_batch.models import DiagonalGaussian

MSE_MIN = 1e-8
"""Keeps the logarithm finite for images without any variation; sigma = 0.0001 is far below one grey level."""


@dataclass(frozen=True, slots=True)
class Elbo:
    """ELBO = -(distortion + rate), means over a batch."""

    distortion: Tensor
    """-log p(x|z), summed over pixels and channels; nats per image. Pixels are densities on [0, 1], so that it is
    negative for good reconstructions."""
    rate: Tensor
    """KL(q(z|x)‖N(0, I)), summed over dimensions; nats per image."""
    mse: Tensor
    """Mean squared error per pixel and channel, pixels in [0, 1]; also the optimal sigma squared."""

    @property
    def loss(self) -> Tensor:
        """What is minimised: distortion + rate, nats per image."""
        return self.distortion + self.rate


def gaussian_elbo(x_BCHW: Tensor, mean_BCHW: Tensor, posterior: DiagonalGaussian) -> Elbo:
    """Give the ELBO under a Gaussian likelihood of one shared variance, at its optimum for the batch.

    For N(x; mean, sigma² I) the best sigma² is the mean squared error, and the negative log-likelihood of an image
    of D numbers is then D/2·(log(2π·sigma²) + 1) (Rybkin, Daniilidis and Levine 2021, "Simple and effective VAE
    training with calibrated decoders", arXiv 2006.13202).

    Args:
        x_BCHW: images, float32 in [0, 1].
        mean_BCHW: what the decoder gave for a sample of the posterior, float32.
        posterior: of the same images; it has a variance.
    """
    rate = posterior.kl()
    if rate is None:
        raise ValueError("the ELBO needs a posterior with a variance")
    return elbo_of((x_BCHW - mean_BCHW).square().mean(), rate.mean(), x_BCHW[0].numel())


def elbo_of(mse: Tensor, rate: Tensor, dims: int) -> Elbo:
    """Give the ELBO from a batch's mean squared error and mean rate, for images of so many numbers."""
    distortion = 0.5 * dims * (mse.clamp_min(MSE_MIN).log() + math.log(2.0 * math.pi) + 1.0)
    return Elbo(distortion, rate, mse)
