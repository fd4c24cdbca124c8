"""A Parquet file as a table: row groups by the footer, pages as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch.sources.tables.handle import Handle

_PAGE_BUFFER = 1 << 20
"""Bytes of a column read at a time: without such a buffer a whole column chunk would be in memory."""
_BATCH_BYTES, _BATCH_ROWS = 8 << 20, 256


class ParquetTable:
    """An open Parquet file. Raises whatever pyarrow raises for a damaged footer."""

    steps = (1, _BATCH_ROWS)

    def __init__(self, handle: Handle) -> None:
        self._file = pq.ParquetFile(
            pa.PythonFile(handle, mode="r"), pre_buffer=False, buffer_size=_PAGE_BUFFER, page_checksum_verification=True
        )
        self.schema: pa.Schema = self._file.schema_arrow
        footer = self._file.metadata
        self.group_rows = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        if min(self.group_rows, default=0) < 0 or sum(self.group_rows) != footer.num_rows:
            raise ValueError(f"its row groups have {sum(self.group_rows):,} rows, the footer says {footer.num_rows:,}")

    def read(self, group: int, names: Sequence[str], step: int) -> Iterator[pa.RecordBatch]:
        """See `Table`."""
        row_bytes = self._file.metadata.row_group(group).total_byte_size // max(1, self.group_rows[group])
        rows = min(max(_BATCH_BYTES // max(1, row_bytes), 1), _BATCH_ROWS)
        batches: Iterator[pa.RecordBatch] = self._file.iter_batches(
            max(1, rows // step), row_groups=[group], columns=list(names), use_threads=False
        )
        return batches
