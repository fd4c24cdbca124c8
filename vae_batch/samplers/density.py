"""A Gaussian mixture over latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from vae_batch.samplers.kept import Facts, Tensors, fit_bytes

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Density:
    """sum_k weights[k]·N(means[k], scales[k] scales[k]^T); one component is a Gaussian."""

    SAMPLER: ClassVar[str] = "fitted"

    weights: F64
    """(K,), positive, of sum 1."""
    means: F64
    """(K, D)."""
    scales: F64
    """(K, D, D), lower triangular: Cholesky factors of the covariances."""
    facts: Facts
    """What it was fitted to: model digest, latents, where, rows, passes, bound in nats …"""

    @property
    def dims(self) -> int:
        """D, numbers of a latent."""
        return int(self.means.shape[1])

    def to_bytes(self) -> bytes:
        """Give the content of its fit file."""
        return fit_bytes({"weights": self.weights, "means": self.means, "scales": self.scales}, self.facts)

    @classmethod
    def of(cls, tensors: Tensors, facts: Facts) -> Density:
        """Make it of what a fit file holds. Raises ValueError or TypeError."""
        density = cls(**tensors, facts=facts)
        components, dims = density.means.shape
        if density.weights.shape != (components,) or density.scales.shape != (components, dims, dims):
            raise ValueError("shapes that do not go together")
        return density
