"""Sums over the rows of a part from which the statistics of the whole data set are added up."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pyarrow as pa

from vae_batch.types import Scaling

ACTIVE_THRESHOLD = 0.01
"""A dimension is active when Var over images of its posterior mean is at least this (Burda, Grosse and Salakhutdinov
2016, arXiv 1509.00519)."""

MAX_DIMS = 1024
"""Latents with more numbers than this are summed by their first axis (the channel)."""


class Moments:
    """Per dimension: sums of mean, mean², variance and KL (nats), and the number of terms, in float64.

    Args:
        shape: of the latents.
        scaling: what was applied to them; their KL is then that to N(0, I) before it.
        columns: of the mean and of the variance; without the latter there is neither variance nor KL.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        scaling: Scaling | None = None,
        columns: tuple[str, str | None] = ("mean", "variance"),
    ) -> None:
        self._mean, self._variance = columns
        self.dims = math.prod(shape)
        self.cells = self.dims if self.dims <= MAX_DIMS or len(shape) == 1 else shape[0]
        self.sums = np.zeros((5, self.cells))
        scaling = scaling or Scaling((0.0,), (1.0,))
        self._shift, self._factor = (np.repeat(v, self.cells // len(v)) for v in (scaling.shift, scaling.factor))

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch; dimensions without a variance add no variance and no KL."""
        if len(batch) == 0:
            return
        mean = self._cells(batch.column(self._mean))
        self.sums[0] += mean.shape[0]
        self.sums[1] += mean.sum(0)
        self.sums[2] += (mean * mean).sum(0)
        if self._variance and batch.column(self._variance).null_count == 0:
            variance = self._cells(batch.column(self._variance))
            self.sums[3] += variance.sum(0)
            mean, variance = mean / self._factor + self._shift, variance / self._factor**2
            logvar = np.log(np.maximum(variance, np.finfo(np.float32).tiny))
            self.sums[4] += (0.5 * (mean * mean + variance - 1.0 - logvar)).sum(0)

    def _cells(self, column: pa.Array) -> Any:
        values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        by_cell = values.reshape(len(column), self.cells, -1)
        return by_cell.transpose(0, 2, 1).reshape(-1, self.cells)

    def add(self, dumped: str) -> None:
        """Add what another part's `dump` says."""
        self.sums += np.frombuffer(base64.b64decode(dumped), "<f8").reshape(self.sums.shape)

    def dump(self) -> str:
        """Give the sums as base64 of little-endian float64."""
        return base64.b64encode(np.ascontiguousarray(self.sums, "<f8").tobytes()).decode()

    def statistics(self, deterministic: bool) -> dict[str, Any]:
        """Give statistics per dimension (or channel): mean, its variance over images, mean variance, KL in nats."""
        if not self.sums[0].all():
            return {}
        count, mean, square, variance, kl = self.sums
        spread = np.maximum(square / count - (mean / count) ** 2, 0.0)
        result: dict[str, Any] = {
            "mean": (mean / count).tolist(),
            "variance_of_mean": spread.tolist(),
            "active": int((spread >= ACTIVE_THRESHOLD).sum()),
            "active_threshold": ACTIVE_THRESHOLD,
            "dimensions": self.cells,
        }
        if not deterministic:
            images = count * self.cells / self.dims
            result["mean_variance"] = (variance / count).tolist()
            result["kl"] = (kl / images).tolist()
        return result
