"""Linear probes: how much of a known attribute a linear map from the latent mean recovers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_batch.probes import LinearSums, auc, r_squared
from vae_batch.probes.linear import apply_map


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
    target_NA = np.stack([np.asarray(values, np.float64) for values in attributes.values()], axis=1)
    sums = LinearSums()
    sums.add(mean_ND[:cut].astype(np.float64), None, target_NA[:cut])
    predicted_NA = apply_map(*sums.solve(), mean_ND[cut:])
    probes = []
    for name, all_N, predicted in zip(attributes, target_NA.T, predicted_NA.T, strict=True):
        binary = len(np.unique(all_N)) == 2
        score = auc(predicted, all_N[cut:]) if binary else r_squared(predicted, all_N[cut:])
        probes.append(Probe(name, "AUC" if binary else "R²", score, cut, len(predicted)))
    return probes
