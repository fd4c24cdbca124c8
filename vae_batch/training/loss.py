"""What is minimised: from a batch's sums to rate, distortion and loss.

Everything that a training minimises depends on the images through few sums alone: of squared errors, of cross
entropies, and of the KL of each latent dimension. So a batch may be computed in parts, on threads or on other
machines; the parts' sums are added up, and each part is differentiated by the chain rule through its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_batch.specs import TrainSpec
from vae_batch.training.network import TrainableVAE

MSE_MIN = 1e-8
"""Keeps the logarithm finite for images without any variation; sigma = 0.0001 is far below one grey level."""
PIXEL_MIN = 1e-6
"""A Bernoulli mean is kept this far from 0 and 1 where the network gives pixels, not logits."""
GREY_BITS = 8.0
"""log2 of the grey levels: from densities on [0, 1] to those per level."""


@dataclass(frozen=True, slots=True)
class Elbo:
    """ELBO = -(distortion + rate), means over images; scalars."""

    distortion: Tensor
    """-log p(x|z), summed over pixels and channels; nats per image. For the Gaussian, pixels are densities on
    [0, 1], so that it is negative for good reconstructions."""
    rate: Tensor
    """KL(q(z|x)‖N(0, I)), summed over dimensions; nats per image."""
    mse: Tensor
    """Mean squared error per pixel and channel, pixels in [0, 1]; also the optimal sigma squared."""
    loss: Tensor
    """What is minimised, nats per image: distortion + rate, unless the spec weighs or limits the rate."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of a training.

    The likelihoods of an image of D numbers:

    - gaussian, one shared variance at its optimum for the batch, the mean squared error: D/2·(log(2π·mse) + 1)
      (Rybkin, Daniilidis and Levine 2021, arXiv 2006.13202);
    - gaussian of a fixed sigma: D/2·log(2π·sigma²) + squared errors / (2·sigma²);
    - bernoulli: cross entropy of the pixels in [0, 1] (Kingma and Welling 2014).

    The rate's part of the loss is weight·Σ max(free_bits, KL of a dimension) (Kingma et al. 2016, arXiv 1606.04934,
    section C.8), or weight·|KL - capacity| (Burgess et al. 2018, arXiv 1804.03599).
    """

    dims: int
    """D, numbers in an image."""
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    sigma: float | None = None
    """Fixed; None: the optimal one."""
    terms: Literal["elbo", "reconstruction", "kl"] = "elbo"
    beta: float = 1.0
    kl_warm_up: int = 0
    free_bits: float = 0.0
    capacity: float | None = None
    capacity_steps: int = 1

    @classmethod
    def of(cls, spec: TrainSpec, steps: int, dims: int) -> Self:
        """Read the objective from a spec, for a training of so many steps."""
        names = ("likelihood", "sigma", "terms", "beta", "kl_warm_up", "free_bits", "capacity")
        rise = spec.capacity_steps or max(1, steps // 2)
        return cls(dims, **{name: getattr(spec, name) for name in names}, capacity_steps=rise)

    def weight(self, step: int) -> float:
        """The rate's weight at a step, from 1: rises from 0 over `kl_warm_up` steps."""
        if self.terms == "reconstruction":
            return 0.0
        return self.beta * min(1.0, (step - 1) / self.kl_warm_up if self.kl_warm_up else 1.0)

    def target(self, step: int) -> float | None:
        """The capacity at a step, nats: rises from 0 over `capacity_steps`."""
        return None if self.capacity is None else self.capacity * min(1.0, step / self.capacity_steps)

    def sums(self, model: TrainableVAE, x_BCHW: Tensor, eps: Tensor, dtype: torch.dtype | None) -> Tensor:
        """Give the sums over a part of a batch, (2 + Z,) float32: squared errors, cross entropy, KL by dimension.

        Args:
            model: encodes and decodes.
            x_BCHW: images, float32 in [0, 1].
            eps: standard normals (B, *latent) for the sample z = mean + sigma·eps.
            dtype: autocast's; None for float32.
        """
        bernoulli = self.likelihood == "bernoulli"
        logits: Callable[[Tensor], Tensor] | None = getattr(model, "logits", None) if bernoulli else None
        with torch.autocast(x_BCHW.device.type, dtype, enabled=dtype is not None):
            posterior = model.encode(x_BCHW)
            z = posterior.sample(eps)
            out = logits(z) if logits else model.expected(z)
        kl_BZ = posterior.kl_by_dimension()
        if kl_BZ is None:
            raise ValueError("the ELBO needs a posterior with a variance")
        out, entropy = out.float(), kl_BZ.new_zeros(())
        if bernoulli:
            entropy, out = _cross_entropy(out, x_BCHW, logits is not None)
        return torch.cat([torch.stack([(x_BCHW - out).square().sum(), entropy]), kl_BZ.sum(0)])

    def elbo(self, sums: Tensor, images: int, step: int = 1) -> Elbo:
        """Give the ELBO and the loss from the sums over so many images.

        Args:
            sums: as `sums` gives them, added up.
            images: how many they are over.
            step: of the training, from 1.
        """
        means = sums / images
        mse, kl_Z = means[0] / self.dims, means[2:]
        rate, distortion = kl_Z.sum(), self._distortion(mse, means[1])
        weight, target = self.weight(step), self.target(step)
        pressed = kl_Z.clamp_min(self.free_bits).sum() if target is None else (rate - target).abs()
        loss = weight * pressed if self.terms == "kl" else distortion + weight * pressed
        return Elbo(distortion, rate, mse, loss)

    def bits(self, distortion: float, rate: float) -> tuple[float, float]:
        """Distortion and rate in bits per dimension (pixel and channel).

        Of a Gaussian, the density on [0, 1] is taken as that of 256 grey levels, hence 8 bits more.
        """
        scale = 1.0 / (self.dims * math.log(2.0))
        return distortion * scale + (GREY_BITS if self.likelihood == "gaussian" else 0.0), rate * scale

    def spread(self, mse: float) -> float | None:
        """Give sigma of the likelihood; None for a Bernoulli."""
        if self.likelihood == "bernoulli":
            return None
        return self.sigma or math.sqrt(mse)

    def _distortion(self, mse: Tensor, entropy: Tensor) -> Tensor:
        if self.likelihood == "bernoulli":
            return entropy
        if self.sigma is None:
            return 0.5 * self.dims * (mse.clamp_min(MSE_MIN).log() + math.log(2.0 * math.pi) + 1.0)
        variance = self.sigma**2
        return 0.5 * self.dims * (mse / variance + math.log(2.0 * math.pi * variance))


def _cross_entropy(out: Tensor, x_BCHW: Tensor, by_logits: bool) -> tuple[Tensor, Tensor]:
    """Give its sum, and the pixels without a gradient: of the squared errors nothing is learnt."""
    if by_logits:
        return F.binary_cross_entropy_with_logits(out, x_BCHW, reduction="sum"), out.detach().sigmoid()
    pixels = out.clamp(PIXEL_MIN, 1.0 - PIXEL_MIN)
    return F.binary_cross_entropy(pixels, x_BCHW, reduction="sum"), pixels.detach()
