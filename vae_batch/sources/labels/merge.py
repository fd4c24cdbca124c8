"""Rows that are sorted by key made one a key: of each file the first counts, and files fill in what others lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(eq=False)
class ClashError(Exception):
    """Two files say different things of one key."""

    key: str
    column: int
    """Number of the column, of those behind the key."""
    values: tuple[Any, Any]
    files: tuple[int, int]


class OnePerKey:
    """Merges batches with the columns `key`, any others, and `file`, sorted by key and file.

    Raises, while iterating: ClashError.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.repeated = 0
        """Rows left out because an earlier one of their file has their key."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        held: pa.Table | None = None
        for batch in self._batches:
            table = pa.Table.from_batches([batch])
            table = self._first_of_file(table if held is None else pa.concat_tables([held, table]))
            last = int(np.flatnonzero(_changes(table["key"]))[-1])  # the next batch may have more rows of this key
            if last:
                yield _merged(table.slice(0, last))
            held = table.slice(last)
        if held is not None:
            yield _merged(held)

    def _first_of_file(self, table: pa.Table) -> pa.Table:
        kept = _changes(table["key"]) | _changes(table["file"])
        self.repeated += len(kept) - int(kept.sum())
        return table if kept.all() else table.filter(pa.array(kept))


def _changes(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before; the first one always does."""
    changes = np.ones(len(column), bool)
    changes[1:] = pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)).to_numpy()
    return changes


def _merged(table: pa.Table) -> pa.RecordBatch:
    """One row for each key, with the value of the first file that has one."""
    first = _changes(table["key"])
    columns = table.drop_columns("file").combine_chunks()
    if not first.all():
        starts, group = np.flatnonzero(first), np.cumsum(first) - 1
        arrays = [_filled(table, i, starts, group) for i in range(1, columns.num_columns)]
        columns = pa.table([columns["key"].take(pa.array(starts)), *arrays], columns.column_names)
    return columns.combine_chunks().to_batches()[0]


def _filled(table: pa.Table, i: int, starts: npt.NDArray[np.int64], group: npt.NDArray[np.int64]) -> pa.ChunkedArray:
    """A column's first value for each key. Raises ClashError when a later file has another."""
    column = table.column(i)
    given = np.flatnonzero(column.is_valid().to_numpy())
    keys, at = np.unique(group[given], return_index=True)
    place = starts.copy()
    place[keys] = given[at]
    own, counted = column.take(pa.array(given)), column.take(pa.array(place[group[given]]))
    differs = pc.not_equal(own, counted)
    if pa.types.is_floating(column.type):
        differs = pc.and_not(differs, pc.and_(pc.is_nan(own), pc.is_nan(counted)))
    for later in given[differs.to_numpy()].tolist():
        rows = (int(place[group[later]]), later)
        values, files = ([name[row].as_py() for row in rows] for name in (column, table["file"]))
        raise ClashError(table["key"][later].as_py(), i - 1, (values[0], values[1]), (files[0], files[1]))
    return column.take(pa.array(place))
