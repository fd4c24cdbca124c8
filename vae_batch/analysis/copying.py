"""Whether generated images are copies of training images: how near they come to them, beside held-out ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_batch.analysis.neighbours import Nearest
from vae_batch.probes import auc

F64 = npt.NDArray[np.float64]

QUANTILES = {"min": 0.0, "1%": 0.01, "5%": 0.05, "25%": 0.25, "median": 0.5}
CLOSEST = 10
"""Pairs that are listed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A generated image and the training image nearest to it."""

    generated: str
    train: str
    distance: float


@dataclass(frozen=True, slots=True)
class Copying:
    """Distances to the nearest of all training images, of generated and of held-out images."""

    generated: dict[str, float]
    """Quantiles."""
    held_out: dict[str, float]
    """Quantiles."""
    below: float
    """Share of the generated that come nearer than 99 % of the held-out do; 0.01 where they are alike."""
    z: float
    """Mann and Whitney's z, as Meehan et al. have it: below -5 is copying; above 0 the generated are further away."""
    train_first: float
    """Share of the generated that are nearer to a training image than to any held-out one, of as many each; 0.5 where
    the model knows the ones no better than the others."""
    same: int
    """Held-out images at a distance of 0 from a training image: they are no held-out ones."""
    closest: list[Pair]


def copying(
    generated_MD: F64,
    generated_ids: Sequence[str],
    held_out_ND: F64,
    train: Iterator[tuple[Sequence[str], F64]],
    some_train_TD: F64,
) -> Copying:
    """Ask how near generated and held-out points come to training points.

    After Meehan, Chaudhuri and Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models" (2020,
    arXiv 2004.05675), over the whole space as one cell.

    Args:
        generated_MD: M points.
        generated_ids: their ids.
        held_out_ND: N points.
        train: ids and points of all training images, streamed.
        some_train_TD: T of them, at random.
    """
    made, held = Nearest(generated_MD), Nearest(held_out_ND)
    for ids, means in train:
        made.add(ids, means)
        held.add(ids, means)
    near, usual = made.distance, held.distance
    order = np.argsort(near, kind="stable")[:CLOSEST].tolist()
    return Copying(
        generated={name: float(np.quantile(near, q)) for name, q in QUANTILES.items()},
        held_out={name: float(np.quantile(usual, q)) for name, q in QUANTILES.items()},
        below=float((near < np.quantile(usual, QUANTILES["1%"])).mean()),
        z=mann_whitney_z(near, usual),
        train_first=_train_first(generated_MD, some_train_TD, held_out_ND),
        same=int((usual == 0).sum()),
        closest=[Pair(generated_ids[i], made.ids[i], float(near[i])) for i in order],
    )


def mann_whitney_z(x_M: F64, y_N: F64) -> float:
    """Give (U - MN/2) / sqrt(MN(M + N + 1)/12), U the pairs with x above y, ties counted half; no tie correction."""
    m, n = len(x_M), len(y_N)
    above = auc(np.concatenate([x_M, y_N]), np.repeat([1.0, 0.0], [m, n]))
    return float((above - 0.5) * m * n / np.sqrt(m * n * (m + n + 1) / 12.0))


def _train_first(generated_MD: F64, train_TD: F64, held_out_ND: F64) -> float:
    size = min(len(train_TD), len(held_out_ND))
    near = []
    for points in (train_TD[:size], held_out_ND[:size]):
        nearest = Nearest(generated_MD)
        nearest.add([""] * size, points)
        near.append(nearest.distance)
    return float((near[0] < near[1]).mean() + (near[0] == near[1]).mean() / 2)
