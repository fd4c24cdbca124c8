"""Draws from stored posteriors: made when encoding, and made again from the file to check or to resample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vae_batch.noise import noise

F32 = npt.NDArray[np.float32]


def draw_samples(
    mean_ND: npt.NDArray[Any], variance_ND: F32 | None, seed: int, ids: Sequence[str], samples: int
) -> npt.NDArray[Any]:
    """Reparameterize: mean + sqrt(variance)·noise(seed, id, draw), computed in float32.

    Args:
        mean_ND: means as stored, float32 or float16, of N images and D dimensions.
        variance_ND: variances as stored; None for a deterministic autoencoder, whose sample is its mean.
        seed: of the noise.
        ids: the N image ids.
        samples: K draws per image.

    Returns:
        Shape (N, K, D), in the type of `mean_ND`.
    """
    mean_N1D = mean_ND.astype(np.float32)[:, None, :]
    if variance_ND is None:
        drawn = np.repeat(mean_N1D, samples, axis=1)
    else:
        drawn = noise(seed, ids, mean_ND.shape[1], samples)
        drawn *= np.sqrt(variance_ND)[:, None, :]
        drawn += mean_N1D
    return drawn.astype(mean_ND.dtype, copy=False)
