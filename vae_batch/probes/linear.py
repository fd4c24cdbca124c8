"""Ridge regression of attributes on latents, from sums over rows that are streamed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

RIDGE = 1e-4
"""Added to the diagonal of the covariance, as a share of its mean."""
LEAST_RIDGE = 1e-12


class LinearSums:
    """The normal equations of A attributes on D dimensions, summed in float64 in the order of the rows.

    A row counts with its whole posterior N(mean, diag(variance)): the map is the best one for a draw z, the
    minimum of E_q[(w·z + b - y)²], in closed form. The covariance of z is that of the means plus the mean of the
    variances, and with y it varies as the means do. So dimensions that the posterior leaves to the prior get no
    weight, whatever their means do; latents from the prior would make noise of it. With variances of 0 it is plain
    ridge regression on the means.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._centre = self._level = self._z = self._y = self._variance = self._zz = self._yz = np.zeros(0)

    def add(self, mean_ND: F64, variance_ND: F64 | None, target_NA: F64) -> None:
        """Take in N rows; None: variances of 0."""
        if not len(mean_ND):
            return
        if not self.rows:
            self._begin(mean_ND, target_NA)
        z, y = mean_ND - self._centre, target_NA - self._level  # sums around these do not cancel
        self.rows += len(z)
        self._z, self._y = self._z + z.sum(0), self._y + y.sum(0)
        self._zz += z.T @ z
        self._yz += y.T @ z
        if variance_ND is not None:
            self._variance += variance_ND.sum(0)

    def _begin(self, mean_ND: F64, target_NA: F64) -> None:
        dims, attributes = mean_ND.shape[1], target_NA.shape[1]
        self._centre, self._level = mean_ND.mean(0), target_NA.mean(0)
        self._z, self._y, self._variance = np.zeros(dims), np.zeros(attributes), np.zeros(dims)
        self._zz, self._yz = np.zeros((dims, dims)), np.zeros((attributes, dims))

    def solve(self) -> tuple[F64, F64]:
        """Give weights (A, D) and biases (A,): the prediction is weights @ z + bias."""
        z, y = self._z / self.rows, self._y / self.rows
        covariance = self._zz / self.rows - np.outer(z, z) + np.diag(self._variance / self.rows)
        ridge = RIDGE * float(np.trace(covariance)) / len(z) + LEAST_RIDGE
        weights = np.linalg.solve(covariance + ridge * np.eye(len(z)), (self._yz / self.rows - np.outer(y, z)).T).T
        bias = self._level + y - weights @ (self._centre + z)
        return np.ascontiguousarray(weights), np.asarray(bias)


def apply_map(weights_AD: F64, bias_A: F64, latents_ND: npt.NDArray[np.floating]) -> F64:
    """Give (N, A) predictions; a product for each row alone: its bits do not depend on its neighbours."""
    z = latents_ND.astype(np.float64)
    return np.asarray((weights_AD @ z[:, :, None])[:, :, 0] + bias_A)
