"""Where row groups end: a function of the schema and of the rows, never of the batches in which they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TEXT_BYTES = 32 << 20
"""Of ids, labels and pictures together in one row group: nobody knows beforehand how long they are."""


class RowGroups:
    """Cuts record batches where row groups end.

    Args:
        schema: of the batches.
        most: rows of a row group; fewer where their texts have more than `TEXT_BYTES`.
    """

    def __init__(self, schema: pa.Schema, most: int) -> None:
        self._texts: list[tuple[int, int | None]] = []
        """Columns, and within a struct its child."""
        for number, field in enumerate(schema):
            children = range(field.type.num_fields) if pa.types.is_struct(field.type) else ()
            self._texts += [(number, None)] if _of_any_length(field.type) else []
            self._texts += [(number, child) for child in children if _of_any_length(field.type[child].type)]
        self._most = most
        self._rows = self._bytes = 0

    def split(self, batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Give the pieces of a batch in order, each with whether a new row group begins with it."""
        ends, at = np.cumsum(self._text_bytes(batch)), 0
        while len(ends):
            room = self._room(ends)
            begins = room == 0
            if begins:
                self._rows = self._bytes = 0
                room = max(1, self._room(ends))
            self._rows, self._bytes = self._rows + room, self._bytes + int(ends[room - 1])
            yield batch.slice(at, room), begins
            at, ends = at + room, ends[room:] - ends[room - 1]

    def _room(self, ends: np.ndarray[Any, Any]) -> int:
        """How many of the next rows, whose texts end there, fit into the row group that is open."""
        by_text = int(np.searchsorted(ends, TEXT_BYTES - self._bytes, side="right"))
        return min(self._most - self._rows, by_text)

    def _text_bytes(self, batch: pa.RecordBatch) -> np.ndarray[Any, Any]:
        total = np.zeros(len(batch), np.int64)
        for column, child in self._texts:
            texts = batch.column(column) if child is None else batch.column(column).field(child)
            total += pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
        return total


def _of_any_length(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))
