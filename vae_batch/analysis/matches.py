"""Which known attribute each dimension of a latent goes with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vae_batch.analysis.figures import INK, figure

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def correlations(mean_ND: F32, attributes: Mapping[str, npt.NDArray[np.floating]]) -> F64:
    """Give Pearson's r between each dimension's mean and each attribute: (D, A); 0 where one of them is constant."""
    known = np.stack([np.asarray(values, np.float64) for values in attributes.values()], axis=1)
    means, known = (_standardised(values) for values in (mean_ND.astype(np.float64), known))
    return np.asarray(means.T @ known / len(known))


def draw_correlations(path: Path, r_DA: F64, names: list[str]) -> None:
    """Draw the table of correlations, dimensions down and attributes across."""
    with figure(path, 1.0 * len(names) + 1.2, 0.55 * len(r_DA) + 1.0) as drawing:
        axes = drawing.subplots()
        axes.imshow(r_DA, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        for (dim, attribute), r in np.ndenumerate(r_DA):
            axes.text(attribute, dim, f"{r:+.2f}", ha="center", va="center", color="white" if abs(r) > 0.6 else INK)
        axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
        axes.set_yticks(range(len(r_DA)), [f"dim {dim}" for dim in range(len(r_DA))])
        axes.xaxis.tick_top()
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)


def _standardised(values: F64) -> F64:
    spread = values.std(0)
    return np.asarray((values - values.mean(0)) / np.where(spread > 0, spread, np.inf))
