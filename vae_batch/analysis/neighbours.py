"""Nearest neighbours, by blocks in bounded memory, and what they say of one set of points beside another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_batch.errors import SpecError

F64 = npt.NDArray[np.float64]

BLOCK = 512
"""Rows whose distances to all others are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Prdc:
    """Precision, recall, density and coverage; each 0 or more, the higher the better."""

    precision: float
    """Share of the generated that lie within the radius of some real one; at most 1."""
    recall: float
    """Share of the real that lie within the radius of some generated one; at most 1."""
    density: float
    """How many radii of real ones a generated one lies in, by what is expected, k; may be above 1."""
    coverage: float
    """Share of the real with a generated one within their radius; at most 1."""


def prdc(real_ND: F64, generated_MD: F64, k: int = 5) -> Prdc:
    """Compare two sets of points (Naeem, Oh, Uh, Choi and Yoo 2020, arXiv 2002.09797).

    With r(x) the distance from x to its k-th nearest other point of its own set, and B(x) the points nearer than that:

    - precision = mean over generated y of [y in B(x) for some real x] (Kynkäänniemi et al. 2019)
    - recall    = mean over real x of [x in B(y) for some generated y]
    - density   = 1/k · mean over generated y of the number of real x with y in B(x)
    - coverage  = mean over real x of [y in B(x) for some generated y]

    Args:
        real_ND: N points.
        generated_MD: M points.
        k: neighbours, below N and M.

    Raises:
        SpecError: a set has not more than k points.
    """
    real_radius, generated_radius = squared_radii(real_ND, k), squared_radii(generated_MD, k)
    held = np.zeros(len(generated_MD), np.int64)
    recalled = covered = 0
    for rows, squared in squared_distances(real_ND, generated_MD):
        inside = squared < real_radius[rows, None]
        held += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((squared < generated_radius).any(1).sum())
    return Prdc(
        precision=float((held > 0).mean()),
        recall=recalled / len(real_ND),
        density=float(held.mean() / k),
        coverage=covered / len(real_ND),
    )


def squared_radii(x_ND: F64, k: int) -> F64:
    """Give (N,): the squared distance of each point to its k-th nearest other. Raises SpecError: N <= k."""
    if len(x_ND) <= k:
        raise SpecError(f"k={k} neighbours want more than {k} images in each set, and one has {len(x_ND)}")
    radius = np.empty(len(x_ND))
    for rows, squared in squared_distances(x_ND, x_ND):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf  # itself is no other
        radius[rows] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return radius


def squared_distances(x_ND: F64, y_MD: F64) -> Iterator[tuple[slice, F64]]:
    """Iterate over blocks of rows of x, with their squared distances to all of y: (B, M), to be written to."""
    norms = np.square(y_MD).sum(1)
    for start in range(0, len(x_ND), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x_ND)))
        squared = x_ND[rows] @ (-2.0 * y_MD.T)
        squared += norms
        squared += np.square(x_ND[rows]).sum(1)[:, None]
        yield rows, np.maximum(squared, 0.0, out=squared)


class Nearest:
    """The nearest of many points, which are streamed, to each of N.

    Args:
        x_ND: the N points.
    """

    def __init__(self, x_ND: F64) -> None:
        self._x = x_ND
        self._squared = np.full(len(x_ND), np.inf)
        self.ids: list[str] = [""] * len(x_ND)
        """Of the nearest."""

    @property
    def distance(self) -> F64:
        """(N,), to the nearest so far; infinite before there was any."""
        return np.asarray(np.sqrt(self._squared))

    def add(self, ids: Sequence[str], y_MD: F64) -> None:
        """Look at M further points."""
        for rows, squared in squared_distances(self._x, y_MD):
            best = squared.argmin(1)
            exact = np.square(self._x[rows] - y_MD[best]).sum(1)  # what is equal is at a distance of 0
            for at in np.flatnonzero(exact < self._squared[rows]).tolist():
                self._squared[rows.start + at] = exact[at]
                self.ids[rows.start + at] = ids[best[at]]
