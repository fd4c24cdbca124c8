"""Along the axes of the latent space: one dimension after the other, or a grid over two."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pyarrow as pa

from vae_batch.samplers.base import F32, Drawn
from vae_batch.samplers.centre import Centre
from vae_batch.samplers.density import F64
from vae_batch.samplers.kept import kept_fit


@dataclass(frozen=True, slots=True)
class Traverse:
    """Image i has step i mod S of dimension i div S: that number is set to the step's value, the others stay.

    The values go evenly from -reach to reach, in standard deviations of the prior (Higgins et al., "beta-VAE", 2017,
    figure 1: a latent is set, not moved).
    """

    dimensions: tuple[int, ...]
    steps: int
    """S."""
    reach: float
    around: str | None = None
    """Id of the encoded image that the others are of."""
    file: str = ""
    """The fit file in OUT with the centre; each process reads it once."""
    sha256: str = ""
    """Of that file."""

    @property
    def total(self) -> int:
        """S for each dimension."""
        return len(self.dimensions) * self.steps

    def columns(self) -> list[pa.Field]:
        """Say which dimension, and the value that it was set to."""
        return [pa.field("dimension", pa.int32()), pa.field("value", pa.float64()), *_around(self.around)]

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        number, step = np.divmod(np.arange(first, first + count), self.steps)
        dimension = np.array(self.dimensions)[np.minimum(number, len(self.dimensions) - 1)]
        value = np.linspace(-self.reach, self.reach, self.steps)[step]
        latents = _with(kept_fit(Centre, self.file, self.sha256), (dimension, value))
        origin = {"dimension": dimension.tolist(), "value": value.tolist()}
        return Drawn(latents, origin | _source(self.around, count))


@dataclass(frozen=True, slots=True)
class Grid:
    """Image i is in row i div S and column i mod S of a grid over two dimensions of the prior, S a side.

    The first of the two grows to the right, the second downwards; their values are the inverse of the standard normal's
    distribution function at (k + 1/2)/S (Kingma and Welling, "Auto-encoding variational Bayes", 2014, figure 4). The
    other dimensions stay.
    """

    dimensions: tuple[int, int]
    steps: int
    """S."""
    around: str | None = None
    """Id of the encoded image that the others are of."""
    file: str = ""
    """The fit file in OUT with the centre; each process reads it once."""
    sha256: str = ""
    """Of that file."""

    @property
    def total(self) -> int:
        """S by S."""
        return self.steps**2

    def columns(self) -> list[pa.Field]:
        """Say which two dimensions, and the value of each."""
        ends = [pa.field(f"{what}_{end}", kind) for end in "xy" for what, kind in _GRID.items()]
        return [*ends, *_around(self.around)]

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        index = np.minimum(np.arange(first, first + count), self.total - 1)
        values = np.array([NormalDist().inv_cdf((k + 0.5) / self.steps) for k in range(self.steps)])
        x, y = values[index % self.steps], values[index // self.steps]
        across, down = (np.full(count, dimension) for dimension in self.dimensions)
        latents = _with(kept_fit(Centre, self.file, self.sha256), (across, x), (down, y))
        origin = {"dimension_x": across, "value_x": x, "dimension_y": down, "value_y": y}
        return Drawn(latents, {name: given.tolist() for name, given in origin.items()} | _source(self.around, count))


_GRID = {"dimension": pa.int32(), "value": pa.float64()}


def _with(centre: Centre, *moves: tuple[np.ndarray, F64]) -> F32:
    """Give the centre, once for each image, with numbers of it set: dimensions (N,) to values (N,)."""
    latents = np.repeat(centre.point[None].astype(np.float32), len(moves[0][0]), axis=0)
    for dimension, value in moves:
        latents[np.arange(len(latents)), dimension] = value
    return latents


def _around(around: str | None) -> list[pa.Field]:
    return [] if around is None else [pa.field("source_id", pa.string())]


def _source(around: str | None, count: int) -> dict[str, list[str]]:
    return {} if around is None else {"source_id": [around] * count}
