"""How known attributes are distributed among images without labels: as a linear map reads them from the latent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_batch.analysis.probes import auc, r_squared

F64 = npt.NDArray[np.float64]

SHARE = 0.75
"""Of the labelled images that the map is fitted on; the others are read by it, as the generated are."""
RIDGE = 1e-3
LEAST_ROWS = 40
"""With labels, below which nothing is said."""
QUANTILES = {"5%": 0.05, "median": 0.5, "95%": 0.95}


@dataclass(frozen=True, slots=True)
class Spread:
    """Of an attribute, as it is read."""

    mean: float
    std: float
    quantiles: dict[str, float]


@dataclass(frozen=True, slots=True)
class Shift:
    """An attribute of real images beside the same of generated ones."""

    attribute: str
    metric: str
    """`R²`, or `AUC` for an attribute of two values."""
    score: float
    """How well it is read from real images that the map was not fitted on."""
    real: Spread
    generated: Spread
    distance: float
    """Wasserstein-1 between the two, in standard deviations of the real."""


def compare_attributes(real_ND: F64, labels: Mapping[str, F64], generated_MD: F64) -> list[Shift]:
    """Read attributes from real and from generated points by the same ridge regression, and compare.

    Both sides are readings: what a linear map cannot see is missing from both.

    Args:
        real_ND: N points, in random order.
        labels: N values each, NaN where there is none. A constant attribute, or one with fewer than `LEAST_ROWS`
            values, is left out.
        generated_MD: M points.
    """
    found = []
    for name, values in labels.items():
        known = np.isfinite(values)
        cut = int(known.sum() * SHARE)
        x, target = real_ND[known], values[known]
        if len(target) < LEAST_ROWS or any(len(np.unique(part)) < 2 for part in (target[:cut], target[cut:])):
            continue
        weights = _ridge(x[:cut], target[:cut])
        read, made = _with_one(x[cut:]) @ weights, _with_one(generated_MD) @ weights
        binary = len(np.unique(target)) == 2
        score = auc(read, target[cut:]) if binary else r_squared(read, target[cut:])
        spread = max(float(read.std()), np.finfo(np.float64).tiny)
        distance = wasserstein(read, made) / spread
        found.append(Shift(name, "AUC" if binary else "R²", score, _spread(read), _spread(made), distance))
    return found


def wasserstein(x_M: F64, y_N: F64) -> float:
    """Give the Wasserstein-1 distance of two samples: the area between their distribution functions."""
    every = np.sort(np.concatenate([x_M, y_N]))
    below = [np.searchsorted(np.sort(v), every[:-1], side="right") / len(v) for v in (x_M, y_N)]
    return float((np.abs(below[0] - below[1]) * np.diff(every)).sum())


def _ridge(x_ND: F64, target: F64) -> F64:
    inputs = _with_one(x_ND)
    gram = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(gram, inputs.T @ target))


def _with_one(x_ND: F64) -> F64:
    return np.hstack([x_ND, np.ones((len(x_ND), 1))])


def _spread(values: F64) -> Spread:
    quantiles = {name: float(np.quantile(values, q)) for name, q in QUANTILES.items()}
    return Spread(float(values.mean()), float(values.std()), quantiles)
