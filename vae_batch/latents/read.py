"""Reading an encoded data set: lazily, as arrays in the latent's own shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.job import encoded_job
from vae_batch.latents.layout import Layout


@dataclass(frozen=True, slots=True)
class LatentData:
    """An encoded data set; nothing is read before it is asked for.

    Rows come in the order of the source.
    """

    out: str
    dataset: ds.Dataset
    """The parts as a pyarrow data set, for filters, projections and scans."""
    latent_shape: tuple[int, ...]
    """Of one mean, variance or draw."""
    samples: int
    """K, draws per image in `sample`."""
    model: dict[str, Any]
    """The model card."""

    def __len__(self) -> int:
        """Rows, from the footers."""
        return int(self.dataset.count_rows())

    def ids(self) -> list[str]:
        """Read all ids."""
        ids: list[str] = self.dataset.to_table(columns=["id"])["id"].to_pylist()
        return ids

    def array(self, column: str) -> np.ndarray:
        """Read a whole column: `mean` and `variance` as (N, *latent), `sample` as (N, *latent) or (N, K, *latent)."""
        table = self.dataset.to_table(columns=[column])
        return np.asarray(self._shaped(column, table[column].combine_chunks()))

    def batches(self, columns: Sequence[str] = ("id", "mean"), rows: int = 1024) -> Iterator[dict[str, Any]]:
        """Iterate over rows in order, a few at a time; latents are arrays, other columns numpy or lists."""
        for batch in self.dataset.to_batches(columns=list(columns), batch_size=rows):
            if len(batch):
                yield {name: self._shaped(name, batch.column(name)) for name in columns}

    def _shaped(self, name: str, column: pa.Array) -> Any:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if not pa.types.is_fixed_size_list(column.type):
            numeric = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
            return column.to_numpy(zero_copy_only=False) if numeric else column.to_pylist()
        if column.null_count:
            raise OutputError(f"{name} is null: the model is deterministic, it has means only")
        draws = (self.samples,) if name == "sample" and self.samples > 1 else ()
        shape = (len(column), *draws, *self.latent_shape)
        while pa.types.is_fixed_size_list(column.type):
            column = column.flatten()
        return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


def read_latents(out: str | Path) -> LatentData:
    """Open an encoded data set, finished or not.

    Raises:
        OutputError: it is none, or has no part yet.
    """
    layout = Layout.of(out)
    job = encoded_job(layout)
    units = sorted(layout.parts()[0])
    if not units:
        raise OutputError(f"{layout.out} has no part yet; see `vae-batch status {out}`")
    return LatentData(
        out=layout.out,
        dataset=open_parts(layout, units),
        latent_shape=tuple(job.model["latent_shape"]),
        samples=int(job.fields["samples"]),
        model=job.model,
    )


def open_parts(layout: Layout, units: Sequence[int]) -> ds.Dataset:
    """Open the parts of some units as one pyarrow data set."""
    if not storage.is_remote(layout.out):
        return ds.dataset([layout.part(u) for u in units], format="parquet")
    system, _ = storage.filesystem(layout.out)
    return ds.dataset([storage.filesystem(layout.part(u))[1] for u in units], format="parquet", filesystem=system)
