"""What traversals and grids start from: a point of the latent space, and the dimensions that say something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from vae_batch.latents.moments import ACTIVE_THRESHOLD
from vae_batch.latents.posteriors import Posteriors
from vae_batch.samplers.density import F64
from vae_batch.samplers.kept import Facts, Tensors, fit_bytes


@dataclass(frozen=True, slots=True)
class Centre:
    """A point, and the dimensions worth moving along."""

    SAMPLER: ClassVar[str] = "traverse or grid"

    point: F64
    """(D,)."""
    dimensions: npt.NDArray[np.int64]
    """(M,), those to move along, in order."""
    facts: Facts
    """Where it is from: model digest, latents …"""

    def to_bytes(self) -> bytes:
        """Give the content of its fit file."""
        return fit_bytes({"point": self.point, "dimensions": self.dimensions}, self.facts)

    @classmethod
    def of(cls, tensors: Tensors, facts: Facts) -> Centre:
        """Make it of what a fit file holds. Raises TypeError."""
        return cls(**tensors, facts=facts)


def mean_and_active(posteriors: Posteriors) -> tuple[F64, npt.NDArray[np.int64]]:
    """Give the mean (D,) of the posterior means, and the active dimensions, in one pass.

    Active are those whose posterior mean has a variance over images of at least 0.01 (Burda, Grosse and Salakhutdinov
    2016, arXiv 1509.00519). They come by falling mean KL(q‖N(0, 1)), those of a deterministic autoencoder by falling
    variance.
    """
    count, shift = 0, np.zeros(0)
    sums = np.zeros((0, 0))
    for mean_ND, variance_ND in posteriors.batches():
        if not count:
            shift = mean_ND.mean(0)  # sums around it do not cancel
            sums = np.zeros((4, len(shift)))
        away = mean_ND - shift
        logvar = np.log(np.maximum(variance_ND, np.finfo(np.float32).tiny))
        terms = away, away**2, variance_ND, 0.5 * (mean_ND**2 + variance_ND - 1.0 - logvar)
        sums += [term.sum(0) for term in terms]
        count += len(mean_ND)
    first, second, variance, kl = sums / count
    spread = second - first**2
    active = np.flatnonzero(spread >= ACTIVE_THRESHOLD)
    by = kl if variance.any() else spread
    return shift + first, active[np.argsort(-by[active], kind="stable")]
