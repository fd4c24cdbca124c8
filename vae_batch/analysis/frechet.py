"""The Fréchet distance between two Gaussians."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def frechet_distance(mean_a: F64, covariance_a: F64, mean_b: F64, covariance_b: F64) -> float:
    """Give the squared Fréchet (2-Wasserstein) distance between N(mean_a, A) and N(mean_b, B), as FID has it squared.

    ‖mean_a - mean_b‖² + tr(A + B - 2 (A^½ B A^½)^½) (Dowson and Landau 1982; Heusel et al. 2017, arXiv 1706.08500).
    The trace of the root is the sum of the roots of the eigenvalues of a symmetric matrix; those that rounding makes
    negative count as 0.

    Args:
        mean_a, mean_b: (D,).
        covariance_a, covariance_b: (D, D), symmetric, positive semi-definite.
    """
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    middle = root @ covariance_b @ root
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh((middle + middle.T) / 2), 0.0))
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2.0 * roots.sum()
    return float(np.square(mean_a - mean_b).sum() + max(spread, 0.0))
