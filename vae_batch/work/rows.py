"""Latents to rows: Arrow record batches in the schema of the job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vae_batch.latents.labels import LabelNotes, to_arrays
from vae_batch.latents.sampling import draw_samples
from vae_batch.types import ImageRecord, Unit
from vae_batch.work.forward import Latents
from vae_batch.work.job import EncodeJob

PSNR_LIMIT = 100.0
"""dB; an exact reconstruction would be infinite."""


class RowMaker:
    """Makes the record batches of one unit, all with the same dictionary of shards."""

    def __init__(self, job: EncodeJob, unit: Unit) -> None:
        self.job, self.schema, self.notes = job, job.schema.arrow(), LabelNotes()
        names = list(dict.fromkeys(p.shard for p in unit.pieces))
        self._shards = pa.array(names, pa.string())
        self._shard_index = {name: i for i, name in enumerate(names)}

    def rows(
        self,
        records: Sequence[ImageRecord],
        sizes: Sequence[tuple[int, int]],
        sha256: Sequence[str | None],
        latents: Latents,
        slots: Sequence[int],
    ) -> pa.RecordBatch:
        """Make rows of the images in some slots.

        Args:
            records, sizes, sha256: of the N images: identity, (width, height) in pixels, digests if asked for.
            latents: of the whole batch.
            slots: N slots of the batch.
        """
        spec, ids = self.job.schema, [r.id for r in records]
        store = np.float16 if spec.store == "float16" else np.float32
        mean: np.ndarray[Any, Any] = latents.mean[slots].astype(store)
        variance = _at(latents.variance, slots)
        columns: dict[str, Any] = {
            "id": ids,
            "shard": self._shard_column(records),
            "row": [r.row for r in records],
            "width": [w for w, _ in sizes],
            "height": [h for _, h in sizes],
            "mean": mean,
            "variance": variance,
            "kl": _at(latents.kl, slots),
            "sha256": sha256,
        }
        if spec.samples:
            columns["sample"] = draw_samples(mean, variance, self.job.seed, ids, spec.samples)
        if latents.mse is not None:
            columns["mse"] = latents.mse[slots]
            columns["psnr"] = psnr(latents.mse[slots])
        labels = to_arrays(spec.labels, [r.labels for r in records], self.notes)
        columns |= {c.name: array for c, array in zip(spec.labels, labels, strict=True)}
        arrays = [to_array(columns[f.name], f.type, len(ids)) for f in self.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _shard_column(self, records: Sequence[ImageRecord]) -> pa.Array:
        index = pa.array([self._shard_index[r.shard] for r in records], pa.int32())
        return pa.DictionaryArray.from_arrays(index, self._shards)


def to_array(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    """Turn a column into Arrow; numpy (N, D) or (N, K, D) becomes (nested) fixed-size lists, None all nulls."""
    if isinstance(values, pa.Array):
        return values
    if values is None:
        return pa.nulls(rows, kind)
    levels = []
    while pa.types.is_fixed_size_list(kind):
        levels.append(kind)
        kind = kind.value_type
    if levels:
        values = np.ascontiguousarray(values).reshape(-1)
    array = pa.array(values, type=kind)
    for level in reversed(levels):
        array = pa.FixedSizeListArray.from_arrays(array, type=level)
    return array


def psnr(mse: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB for pixels in [0, 1]: -10·log10(mse), at most `PSNR_LIMIT`."""
    least = 10 ** (-PSNR_LIMIT / 10)
    return np.asarray(-10.0 * np.log10(np.maximum(mse, least)), dtype=np.float32)


def _at(values: np.ndarray | None, slots: Sequence[int]) -> np.ndarray | None:
    return None if values is None else values[slots]
