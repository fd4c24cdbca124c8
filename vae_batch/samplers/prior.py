"""The prior N(0, I), tempered or truncated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vae_batch.noise import noise
from vae_batch.samplers.base import F32, Drawn


@dataclass(frozen=True, slots=True)
class Prior:
    """z = temperature·eps, eps ~ N(0, I), a pure function of (seed, number of the image)."""

    dims: int
    """D, numbers of a latent."""
    seed: int
    temperature: float = 1.0
    truncation: float | None = None
    """Numbers of eps beyond this are drawn anew until none is (Brock, Donahue and Simonyan 2019, arXiv 1809.11096)."""

    @property
    def total(self) -> None:
        """As many as are asked for."""

    def columns(self) -> list[pa.Field]:
        """None: seed and index say all."""
        return []

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        ids = [f"prior/{index}" for index in range(first, first + count)]
        eps = noise(self.seed, ids, self.dims)[:, 0]
        if self.truncation is not None:
            _truncate(eps, self.truncation, self.seed, ids)
        return Drawn(eps * np.float32(self.temperature))


def _truncate(eps_ND: F32, limit: float, seed: int, ids: list[str]) -> None:
    """Draw again, in place, what lies beyond the limit; the k-th draw of an image has an id of its own."""
    again = 0
    while len(rows := np.flatnonzero((np.abs(eps_ND) > limit).any(1))):
        again += 1
        fresh = noise(seed, [f"{ids[row]}/{again}" for row in rows], eps_ND.shape[1])[:, 0]
        eps_ND[rows] = np.where(np.abs(eps_ND[rows]) > limit, fresh, eps_ND[rows])
