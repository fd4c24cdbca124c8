"""The posterior of a batch of images: a Gaussian with a diagonal covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class DiagonalGaussian:
    """q(z|x) = N(mean, diag(variance)) of B images; a deterministic autoencoder has only a mean."""

    mean: Tensor
    """(B, *latent)."""
    logvar: Tensor | None = None
    """(B, *latent), natural logarithm of the variance; None for a deterministic autoencoder."""

    @property
    def variance(self) -> Tensor | None:
        """(B, *latent), sigma squared."""
        return None if self.logvar is None else self.logvar.exp()

    def kl(self) -> Tensor | None:
        """KL(q‖N(0, I)) summed over the latent axes: (B,), nats per image (Kingma and Welling 2014, appendix B)."""
        terms = self.kl_by_dimension()
        return None if terms is None else terms.sum(1)

    def kl_by_dimension(self) -> Tensor | None:
        """KL(q‖N(0, I)) of each latent number: (B, Z), nats, the latent axes laid flat."""
        if self.logvar is None:
            return None
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1.0 - self.logvar).flatten(1)

    def sample(self, eps: Tensor) -> Tensor:
        """Give mean + sigma·eps, (B, *latent), for standard normals eps; the mean where there is no variance."""
        return self.mean if self.logvar is None else self.mean + (0.5 * self.logvar).exp() * eps
