"""The posterior means of a data set as points: moments of all of them, and a fixed choice of some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_batch.latents.covariance import Covariance
from vae_batch.latents.posteriors import Posteriors
from vae_batch.latents.take import numbers
from vae_batch.noise import uniform

F64 = npt.NDArray[np.float64]

MAX_DIMS = 2048
"""Numbers of a point: a latent with more is hashed to at most so many."""


@dataclass(frozen=True, slots=True)
class Features:
    """Points of a data set, hashed where latents are large."""

    rows: int
    """N, of the whole data set."""
    halves: tuple[Covariance, Covariance]
    """Mean and covariance of all rows, by random halves."""
    means: F64
    """(n, D), of the chosen, in random order."""
    chosen: pa.Table
    """Their `id` and labels."""

    @property
    def ids(self) -> list[str]:
        """Of the chosen."""
        found: list[str] = self.chosen["id"].to_pylist()
        return found

    def moments(self) -> tuple[F64, F64]:
        """Give mean (D,) and covariance (D, D) of all rows."""
        first, second = self.halves
        return first.merged(second).moments()


def gather(posteriors: Posteriors, limit: int, seed: int, labels: Sequence[str] = ()) -> Features:
    """Read a data set once; its order does not matter to what is chosen.

    Args:
        posteriors: of N images.
        limit: n; those with the smallest hash of seed and id are chosen.
        seed: of the choice.
        labels: columns to have of the chosen.
    """
    dims = hashed_dims(posteriors.dims)
    halves, choice = (Covariance(dims), Covariance(dims)), _Choice(limit)
    for batch in posteriors.read(["id", "mean", *labels]):
        keys = uniform(seed, [f"evaluate/{i}" for i in batch.column("id").to_pylist()])
        means = hashed(numbers(batch.column("mean"), np.float64))
        first = np.floor(keys * 2.0**32) % 2 == 0  # a digit that the choice does not look at
        for half, mine in zip(halves, (first, ~first), strict=True):
            half.add(means[mine])
        choice.add(keys, means, pa.Table.from_batches([batch.drop_columns(["mean"])]))
    choice.prune()
    return Features(posteriors.total, halves, choice.means, choice.table)


class _Choice:
    """Those with the smallest keys of what is streamed; at most twice as many are in memory."""

    def __init__(self, limit: int) -> None:
        self._limit, self._below = limit, np.inf
        self._kept: list[tuple[F64, F64, pa.Table]] = []

    def add(self, keys: F64, means: F64, table: pa.Table) -> None:
        mine = keys <= self._below
        self._kept.append((keys[mine], means[mine], table.filter(pa.array(mine))))
        if sum(len(keys) for keys, _, _ in self._kept) > 2 * self._limit:
            self.prune()

    def prune(self) -> None:
        keys, means = (np.concatenate([kept[i] for kept in self._kept]) for i in (0, 1))
        order = np.argsort(keys, kind="stable")[: self._limit]
        table = pa.concat_tables([kept[2] for kept in self._kept]).take(pa.array(order))
        self._kept = [(keys[order], means[order], table)]
        if len(order) == self._limit:
            self._below = keys[order[-1]]

    @property
    def means(self) -> F64:
        return self._kept[0][1]

    @property
    def table(self) -> pa.Table:
        return self._kept[0][2]


def hashed_dims(dims: int) -> int:
    """Give D of the points of latents of so many numbers."""
    return -(-dims // _group(dims))


def hashed(x_ND: F64) -> F64:
    """Keep distances, about, with fewer numbers: random groups of them are added up with random signs.

    Feature hashing (Weinberger et al. 2009, arXiv 0902.2206) with groups of one size: squared distances keep their
    expectation, and are off by about sqrt(2/D) of themselves. The groups are fixed. Up to `MAX_DIMS` nothing is done.
    """
    rows, dims = x_ND.shape
    if dims <= MAX_DIMS:
        return x_ND
    order, signs = _hash(dims)
    padded = np.zeros((rows, hashed_dims(dims) * _group(dims)))
    padded[:, :dims] = x_ND[:, order] * signs
    return np.asarray(padded.reshape(rows, -1, _group(dims)).sum(2))


def _group(dims: int) -> int:
    return max(1, -(-dims // MAX_DIMS))


@lru_cache(maxsize=1)
def _hash(dims: int) -> tuple[npt.NDArray[np.int64], F64]:
    drawn, sign = (uniform(0, [f"evaluate/{what}/{d}" for d in range(dims)]) for what in ("order", "sign"))
    return np.argsort(drawn, kind="stable"), np.where(sign < 0.5, -1.0, 1.0)
