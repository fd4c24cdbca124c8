"""Mean and covariance of rows that are streamed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


class Covariance:
    """Adds up N rows of D numbers around their first rows' mean, so that the sums do not cancel.

    Args:
        dims: D.
    """

    def __init__(self, dims: int) -> None:
        self.count = 0
        """N, rows added."""
        self._shift = self._first = np.zeros(dims)
        self._second = np.zeros((dims, dims))

    def add(self, x_ND: F64) -> None:
        """Take further rows in."""
        if not len(x_ND):
            return
        if not self.count:
            self._shift = x_ND.mean(0)
        centred = x_ND - self._shift
        self.count += len(centred)
        self._first = self._first + centred.sum(0)
        self._second += centred.T @ centred

    def merged(self, other: Covariance) -> Covariance:
        """Give what holds the rows of both."""
        both = Covariance(len(self._first))
        both.count, both._shift = self.count + other.count, self._shift
        away = other._shift - self._shift
        crossed = np.outer(away, other._first)
        both._first = self._first + other._first + other.count * away
        both._second = self._second + other._second + crossed + crossed.T + other.count * np.outer(away, away)
        return both

    def moments(self) -> tuple[F64, F64]:
        """Give mean (D,) and covariance (D, D), divided by N, which must not be 0."""
        away = self._first / self.count
        covariance = self._second / self.count - np.outer(away, away)
        return self._shift + away, (covariance + covariance.T) / 2
