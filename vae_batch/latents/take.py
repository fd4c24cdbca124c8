"""Single rows of Parquet files, by file and row: only the row groups that hold them are read, and the last few kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.schema import rows_at_a_time

I64 = npt.NDArray[np.int64]

KEPT_GROUPS = 2
"""Row groups kept in memory, each of about 32 MB where this package wrote it: consecutive images lie in one or two."""


def take(files: Sequence[tuple[str, int]], positions: I64, columns: Sequence[str]) -> list[pa.Table]:
    """Read rows of several files, which count through; give them in tables, in order.

    Args:
        files: locations and how many rows each must have.
        positions: rows, ascending, each at most once.
        columns: to read.

    Raises:
        OutputError: a file has another number of rows.
        OSError: a file cannot be read.
    """
    ends = np.cumsum([rows for _, rows in files])
    home = np.searchsorted(ends, positions, side="right")
    found = list[pa.Table]()
    for number in np.unique(home).tolist():
        location, rows = files[number]
        within = positions[home == number] - (int(ends[number]) - rows)
        found += _of_file(location, rows, within, tuple(columns))
    return found


def _of_file(location: str, rows: int, within: I64, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    starts = np.array(_starts(location, rows))
    group = np.searchsorted(starts, within, side="right") - 1
    for number in np.unique(group).tolist():
        yield _row_group(location, number, columns).take(pa.array(within[group == number] - starts[number]))


@lru_cache(maxsize=64)
def _starts(location: str, rows: int) -> tuple[int, ...]:
    """The first row of each row group of a file that must have so many rows."""
    with storage.open_input(location) as source, pq.ParquetFile(source) as file:
        check_rows(location, file, rows)
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    return tuple(int(start) for start in np.cumsum([0, *sizes])[:-1])


@lru_cache(maxsize=KEPT_GROUPS)
def _row_group(location: str, number: int, columns: tuple[str, ...]) -> pa.Table:
    with storage.open_input(location) as source, pq.ParquetFile(source) as file:
        return file.read_row_group(number, columns=list(columns)).combine_chunks()


def read_through(location: str, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Read columns of a whole file, some rows at a time: at most 1,024, and about 32 MB. Raises as `take`."""
    with storage.open_input(location) as source, pq.ParquetFile(source) as file:
        check_rows(location, file, rows)
        yield from file.iter_batches(rows_at_a_time(file), columns=list(columns))


def check_rows(location: str, file: pq.ParquetFile, rows: int) -> None:
    """Refuse a file that is not what it was. Raises OutputError."""
    if file.metadata.num_rows != rows:
        raise OutputError(f"{location} has {file.metadata.num_rows:,} rows now, and had {rows:,}: it was changed")


def numbers(column: pa.Array | pa.ChunkedArray, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Turn lists of equal length, without nulls, into an (N, D) array; of their own type, or another."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    rows = len(column)
    while (
        pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type)
    ):
        column = column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=dtype).reshape(rows, -1)
