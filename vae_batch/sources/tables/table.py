"""A table in a file, Parquet or Arrow, read a bounded batch of its rows at a time; damage stays in its group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from vae_batch.errors import SourceError
from vae_batch.sources.streams import open_shard
from vae_batch.sources.tables.arrow import ArrowTable, is_arrow
from vae_batch.sources.tables.handle import Handle
from vae_batch.sources.tables.parquet import ParquetTable
from vae_batch.types import LFS_POINTER

_ROWS_PER_BYTE = 1024
"""A footer that claims more is damaged: each row becomes a reject at least, and they must come to an end."""


class Table(Protocol):
    """An open table."""

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""

    @property
    def group_rows(self) -> Sequence[int]:
        """Rows of each row group (Parquet) or record batch (Arrow)."""

    @property
    def steps(self) -> Sequence[int]:
        """Divisors of the batch size, for one attempt at a group each: smaller batches lose fewer rows to damage."""

    def read(self, group: int, names: Sequence[str], step: int) -> Iterator[pa.RecordBatch]:
        """Stream a group's rows, with these columns. Raises whatever the library makes of damaged data."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Rows that cannot be read."""

    num_rows: int
    message: str


@contextmanager
def open_table(root: str, path: str) -> Iterator[tuple[Table, Handle]]:
    """Open a table by what its first bytes say, whatever its name.

    Raises:
        SourceError: it is gone, no table, or its footer or headers are damaged.
        OSError: the storage fails.
    """
    with open_shard(root, path) as file:
        handle = Handle(file)
        yield _table(handle, path), handle


def _table(handle: Handle, path: str) -> Table:
    head = handle.file.pread(48, 0)
    if head.startswith(LFS_POINTER):
        raise SourceError(f"{path} is a git-LFS pointer and not the file itself: run `git lfs pull` where it lies")
    try:
        table: Table = ArrowTable(handle) if is_arrow(head) else ParquetTable(handle)
        if sum(table.group_rows) > _ROWS_PER_BYTE * handle.file.size:
            raise ValueError(f"{sum(table.group_rows):,} rows in {handle.file.size:,} bytes")
        return table
    except Exception as error:
        handle.raise_transport_error()
        reason = "it is empty" if not head else " ".join(str(error).split())
        raise SourceError(
            f"{path} cannot be used: its footer or headers cannot be read ({reason}); repair it, or move it out of "
            "the source"
        ) from error


def chunks(
    table: Table, handle: Handle, start: int, end: int, names: Sequence[str]
) -> Iterator[pa.RecordBatch | Damage]:
    """Stream rows start to end; together the chunks have end - start rows, whatever is damaged.

    Raises:
        OSError: the storage fails.
    """
    behind = 0
    for group, rows in enumerate(table.group_rows):
        first, behind = behind, behind + rows
        low, high = max(start, first) - first, min(end, behind) - first
        if low < high:
            yield from _group_chunks(table, handle, group, low, high, names)


def _group_chunks(
    table: Table, handle: Handle, group: int, low: int, high: int, names: Sequence[str]
) -> Iterator[pa.RecordBatch | Damage]:
    """Rows low to high of one group."""
    reason = ""
    for step in table.steps:
        at = 0
        try:
            for batch in table.read(group, names, step):
                first, at = at, at + batch.num_rows
                if at > low:
                    part = batch.slice(low - first, high - low)
                    low += part.num_rows
                    yield part
                if low == high:
                    return
            reason = f"it ends after {at:,} of its {table.group_rows[group]:,} rows"
        except Exception as error:  # whatever a decoder makes of damaged data
            handle.raise_transport_error()
            reason = " ".join(f"{error}".split()) or type(error).__name__
    yield Damage(high - low, f"row group {group} is damaged: {reason}")
