"""Draws from a density that was fitted to encoded posteriors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vae_batch.noise import noise, uniform
from vae_batch.samplers.base import Drawn
from vae_batch.samplers.density import Density
from vae_batch.samplers.kept import kept_fit


@dataclass(frozen=True, slots=True)
class Fitted:
    """z = means[k] + temperature·scales[k]·eps, eps ~ N(0, I), a pure function of (seed, number of the image).

    The component k is given by a uniform number of its own; the temperature does not move the weights.
    """

    seed: int
    temperature: float = 1.0
    file: str = ""
    """The fit file in OUT; each process reads it once."""
    sha256: str = ""
    """Of that file."""

    @property
    def total(self) -> None:
        """As many as are asked for."""

    def columns(self) -> list[pa.Field]:
        """Say which component: its number from 0."""
        return [pa.field("component", pa.int32())]

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        density = kept_fit(Density, self.file, self.sha256)
        ids = [f"fitted/{index}" for index in range(first, first + count)]
        component = self._components(density, ids)
        eps = noise(self.seed, ids, density.dims)[:, 0].astype(np.float64)
        latents = density.means[component]
        for k in np.unique(component):
            mine = component == k
            # A product for each image alone: its bits do not depend on its neighbours.
            latents[mine] += self.temperature * (density.scales[k] @ eps[mine][:, :, None])[:, :, 0]
        return Drawn(latents.astype(np.float32), {"component": component.tolist()})

    def _components(self, density: Density, ids: list[str]) -> np.ndarray:
        drawn = uniform(self.seed, [f"{i}/component" for i in ids])
        ends = np.cumsum(density.weights)
        return np.minimum(np.searchsorted(ends / ends[-1], drawn, side="right"), len(ends) - 1)
