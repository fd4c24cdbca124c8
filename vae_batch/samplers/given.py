"""A user's own latents, in Parquet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.errors import SpecError
from vae_batch.latents.take import numbers, read_through, take
from vae_batch.samplers.base import F32, Drawn


@dataclass(frozen=True, slots=True)
class Given:
    """Image i is decoded from row i; the rows of several files count through, in the order of their names."""

    files: tuple[tuple[str, int], ...]
    """Locations and rows."""
    column: str
    dims: int

    @property
    def total(self) -> int:
        """One for each row."""
        return sum(rows for _, rows in self.files)

    def columns(self) -> list[pa.Field]:
        """Say of which row, from 0."""
        return [pa.field("source_row", pa.int64())]

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        index = np.arange(first, max(first, min(first + count, self.total)))
        latents: F32 = np.zeros((count, self.dims), np.float32)
        if len(index):
            found = take(self.files, index, [self.column])  # each file may have lists of its own kind
            latents[: len(index)] = np.concatenate([numbers(table[self.column], np.float32) for table in found])
        return Drawn(latents, {"source_row": list(range(first, first + count))})


def open_given(location: str, column: str, dims: int) -> tuple[Given, str]:
    """Look at every row; give the sampler, and the digest of the latents.

    Args:
        location: a Parquet file, or a folder of them.
        column: of lists of floats.
        dims: D, numbers that the decoder takes.

    Raises:
        SpecError: there is no such file or column, or a row is no latent; it is named.
    """
    digest, files = hashlib.sha256(), list[tuple[str, int]]()
    for file in _files(storage.absolute(location)):
        rows = 0
        try:
            total = _look(file, column)
            for batch in read_through(file, total, [column]):
                digest.update(_checked(batch.column(0), dims, f"{file}, column {column}", rows).tobytes())
                rows += len(batch)
        except pa.ArrowException as error:
            raise SpecError(f"{file} cannot be read as Parquet: {error}") from None
        files.append((file, rows))
    if not sum(rows for _, rows in files):
        raise SpecError(f"--latents {location} has no row")
    return Given(tuple(files), column, dims), digest.hexdigest()


def _files(location: str) -> list[str]:
    """Give the Parquet file of this name, or those of this folder. Raises SpecError."""
    try:
        found = [storage.join(location, n) for n in sorted(storage.list_files(location)) if n.endswith(".parquet")]
    except NotADirectoryError:
        found = [location]
    if not found and storage.is_remote(location) and storage.exists(location):
        found = [location]
    if not found:
        raise SpecError(
            f"--latents {location}: give a Parquet file, or a folder with files that end in .parquet (those of a data "
            "set of this package are in its folder data)"
        )
    return found


def _look(file: str, column: str) -> int:
    """Give the rows of a file that has the column. Raises SpecError."""
    with storage.open_input(file) as source, pq.ParquetFile(source) as parquet:
        schema = parquet.schema_arrow
        if column not in schema.names:
            raise SpecError(
                f"{file} has no column {column}: name one with --latent-column, of {', '.join(schema.names)}"
            )
        kind = schema.field(column).type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not is_list or not pa.types.is_floating(kind.value_type):
            raise SpecError(f"{file}, column {column}: lists of floats are wanted, and these are {kind}")
        return int(parquet.metadata.num_rows)


def _checked(column: pa.Array, dims: int, where: str, before: int) -> npt.NDArray[np.float32]:
    """Give the latents of a batch as (N, D). Raises SpecError, which names the first row that is none."""
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(lengths != dims)[:1].tolist():
        what = "null" if lengths[row] < 0 else f"{lengths[row]} numbers"
        raise SpecError(f"{where}, row {before + row}: {what}, and a latent of this model has {dims}")
    with np.errstate(over="ignore"):
        values = numbers(column, np.float32)
    for row in np.flatnonzero(~np.isfinite(values).all(1))[:1].tolist():
        raise SpecError(f"{where}, row {before + row}: a number is null, not finite, or too large for float32")
    return values
