"""Latents to rows: Arrow record batches in the schema of the job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vae_batch.latents.arrays import to_array
from vae_batch.latents.labels import LabelNotes, LabelRows
from vae_batch.latents.sampling import draw_samples
from vae_batch.types import ImageRecord, Unit
from vae_batch.work.forward import Latents
from vae_batch.work.job import EncodeJob

MERGE_ROWS = 1024
"""Images are gathered until there are so many ..."""
MERGE_TEXT = 8 << 20
"""... or so many characters of labels."""

PSNR_LIMIT = 100.0
"""dB; an exact reconstruction would be infinite."""


class RowMaker:
    """Makes the record batches of one unit, all with the same dictionary of shards.

    Images are gathered over forward passes: for a few dozen of them most of the time would go into calls.
    """

    def __init__(self, job: EncodeJob, unit: Unit) -> None:
        self.job, self.schema, self.notes = job, job.schema.arrow(), LabelNotes()
        self.enough = min(MERGE_ROWS, job.schema.row_group_rows)
        """Images that are worth a record batch."""
        names = list(dict.fromkeys(p.shard for p in unit.pieces))
        self._shards = pa.array(names, pa.string())
        self._shard_index = {name: i for i, name in enumerate(names)}
        self._labels = LabelRows(job.schema.labels, self.notes)
        self._begin()

    def _begin(self) -> None:
        self._places: list[tuple[str, str, int]] = []
        self._sizes: list[tuple[int, int]] = []
        self._sha256: list[str | None] = []
        self._latents: list[Latents] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def room(self) -> int:
        """Images that it takes until it is full, at least one."""
        return max(1, self.enough - len(self))

    @property
    def full(self) -> bool:
        """Whether there is as much as is worth a record batch."""
        return len(self) >= self.enough or self._labels.text >= MERGE_TEXT

    def add(
        self,
        records: Sequence[ImageRecord],
        sizes: Sequence[tuple[int, int]],
        sha256: Sequence[str | None],
        latents: Latents,
    ) -> None:
        """Take in N images: identity, (width, height) in pixels, digests if asked for, latents."""
        self._places += [(r.id, r.shard, r.row) for r in records]
        self._labels.add([r.labels for r in records])
        self._sizes += sizes
        self._sha256 += sha256
        self._latents.append(latents)

    def rows(self) -> pa.RecordBatch:
        """Make rows of the images taken in since the last call."""
        spec, latents = self.job.schema, Latents.concatenate(self._latents)
        ids, shards, rows = map(list, zip(*self._places, strict=True))
        mean = latents.mean.astype(np.float16 if spec.store == "float16" else np.float32, copy=False)
        columns: dict[str, Any] = {
            "id": ids,
            "shard": self._shard_column(shards),
            "row": rows,
            "width": [w for w, _ in self._sizes],
            "height": [h for _, h in self._sizes],
            "mean": mean,
            "variance": latents.variance,
            "kl": latents.kl,
            "sha256": self._sha256,
        }
        if spec.samples:
            columns["sample"] = draw_samples(mean, latents.variance, self.job.seed, ids, spec.samples)
        if latents.mse is not None:
            columns["mse"] = latents.mse
            columns["psnr"] = psnr(latents.mse)
        columns |= {c.name: array for c, array in zip(spec.labels, self._labels.arrays(), strict=True)}
        arrays = [to_array(columns[f.name], f.type, len(ids)) for f in self.schema]
        self._begin()
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _shard_column(self, shards: Sequence[str]) -> pa.Array:
        index = pa.array([self._shard_index[shard] for shard in shards], pa.int32())
        return pa.DictionaryArray.from_arrays(index, self._shards)


def psnr(mse: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB for pixels in [0, 1]: -10·log10(mse), at most `PSNR_LIMIT`."""
    least = 10 ** (-PSNR_LIMIT / 10)
    return np.asarray(-10.0 * np.log10(np.maximum(mse, least)), dtype=np.float32)
