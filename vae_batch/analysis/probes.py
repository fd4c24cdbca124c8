"""Linear probes: how much of a known attribute a linear map from the latent mean recovers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Probe:
    """The score of one attribute on rows that the map was not fitted on."""

    attribute: str
    metric: str
    """`R²`, or `AUC` for an attribute of two values."""
    score: float
    fitted_on: int
    held_out: int


def probe_attributes(
    mean_ND: npt.NDArray[np.floating], attributes: Mapping[str, npt.NDArray[np.floating]], share: float = 0.75
) -> list[Probe]:
    """Fit a ridge regression for each attribute on the first `share` of the rows, and score it on the others.

    Args:
        mean_ND: posterior means of N images, D dimensions.
        attributes: N values each; those with two distinct values are scored by AUC, others by R².
        share: of the rows that the maps are fitted on.
    """
    cut = int(len(mean_ND) * share)
    inputs = np.hstack([mean_ND.astype(np.float64), np.ones((len(mean_ND), 1))])
    train, test = inputs[:cut], inputs[cut:]
    gram = train.T @ train + 1e-3 * np.eye(train.shape[1])
    probes = []
    for name, values in attributes.items():
        target = values.astype(np.float64)
        predicted = test @ np.linalg.solve(gram, train.T @ target[:cut])
        binary = len(np.unique(target)) == 2
        score = auc(predicted, target[cut:]) if binary else r_squared(predicted, target[cut:])
        probes.append(Probe(name, "AUC" if binary else "R²", score, cut, len(test)))
    return probes


def r_squared(predicted: F64, target: F64) -> float:
    """Share of the target's variance that the prediction explains; below 0 it is worse than the mean."""
    return float(1.0 - np.square(target - predicted).sum() / np.square(target - target.mean()).sum())


def auc(scores: F64, target: F64) -> float:
    """Area under the ROC curve: the chance that a row of the higher value scores above one of the lower.

    Mann and Whitney's U over the ranks, ties counted half.
    """
    positive = target == target.max()
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    pairs = float(positive.sum()) * float((~positive).sum())
    return float((ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2.0) / pairs)
