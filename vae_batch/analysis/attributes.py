"""How known attributes are distributed among images without labels: as a linear map reads them from the latent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_batch.probes import LinearSums, auc, r_squared
from vae_batch.probes.linear import apply_map

F64 = npt.NDArray[np.float64]

SHARE = 0.75
"""Of the labelled images that the map is fitted on."""
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


def compare_attributes(labelled_ND: F64, labels: Mapping[str, F64], real_RD: F64, generated_MD: F64) -> list[Shift]:
    """Read attributes from real and from generated points by the same ridge regression, and compare.

    Both sides are readings: what a linear map cannot see is missing from both. The map is fitted on the first
    `SHARE` of the labelled points, and scored on the others.

    Args:
        labelled_ND: N points, in random order.
        labels: N values each, NaN where there is none. A constant attribute, or one with fewer than `LEAST_ROWS`
            values, is left out.
        real_RD: R points to compare with, none of those that maps are fitted on.
        generated_MD: M points.
    """
    found: list[Shift] = []
    if not len(real_RD):
        return found
    cut = fitted_rows(len(labelled_ND))
    for name, values in labels.items():
        known = np.isfinite(values)
        fitted, scored = known[:cut], known[cut:]
        target, wanted = values[:cut][fitted], values[cut:][scored]
        if known.sum() < LEAST_ROWS or any(len(np.unique(part)) < 2 for part in (target, wanted)):
            continue
        read_off = _reader(labelled_ND[:cut][fitted], target)
        binary = len(np.unique(values[known])) == 2
        score = (auc if binary else r_squared)(read_off(labelled_ND[cut:][scored]), wanted)
        read, made = read_off(real_RD), read_off(generated_MD)
        spread = max(float(read.std()), np.finfo(np.float64).tiny)
        distance = wasserstein(read, made) / spread
        found.append(Shift(name, "AUC" if binary else "R²", score, _spread(read), _spread(made), distance))
    return found


def fitted_rows(count: int) -> int:
    """How many of so many labelled points, from the first on, maps are fitted on."""
    return int(count * SHARE)


def wasserstein(x_M: F64, y_N: F64) -> float:
    """Give the Wasserstein-1 distance of two samples: the area between their distribution functions."""
    every = np.sort(np.concatenate([x_M, y_N]))
    below = [np.searchsorted(np.sort(v), every[:-1], side="right") / len(v) for v in (x_M, y_N)]
    return float((np.abs(below[0] - below[1]) * np.diff(every)).sum())


def _reader(x_ND: F64, target_N: F64) -> Callable[[F64], F64]:
    """Fit a linear map to points; give what reads the attribute from others."""
    sums = LinearSums()
    sums.add(x_ND, None, target_N[:, None])
    weights, bias = sums.solve()
    return lambda points_MD: apply_map(weights, bias, points_MD)[:, 0]


def _spread(values: F64) -> Spread:
    quantiles = {name: float(np.quantile(values, q)) for name, q in QUANTILES.items()}
    return Spread(float(values.mean()), float(values.std()), quantiles)
