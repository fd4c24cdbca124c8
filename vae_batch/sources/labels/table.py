"""Labels by key in one Arrow file that is sorted by key: built out of core once, memory-mapped by every replica.

Sorted by the key itself and not by a hash of it: images come in the order of their names, so that a replica walks
through the file and needs few of its pages at a time.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.errors import SourceError
from vae_batch.sources.labels.merge import ClashError, OnePerKey
from vae_batch.sources.labels.types import LabelField

BLOCK_ROWS = 1 << 16
"""Rows of a record batch, more or less."""
DUCKDB_MEMORY, DUCKDB_THREADS = "512MB", 8
"""Each thread holds buffers: with 64 of them the memory is not enough to sort anything."""

_STORED = {"string": pa.string(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.uint8(), "json": pa.string()}
_VIEWS: dict[str, Callable[[memoryview], Sequence[Any]]] = {
    "float64": lambda memory: memory.cast("d"),
    "int64": lambda memory: memory.cast("q"),
    "bool": lambda memory: memory.cast("?"),
}
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {"json": json.loads, "bool": bool}

Place = tuple[int, int]
"""A row of a table: the number of its record batch, and its place there."""


def connect(scratch: Path) -> Any:
    """A DuckDB with bounded memory, which spills to a folder."""
    config = {
        "memory_limit": DUCKDB_MEMORY,
        "threads": min(os.cpu_count() or 1, DUCKDB_THREADS),
        "temp_directory": str(scratch / "spilled"),
    }
    return duckdb.connect(config=config)


def build_table(
    db: Any, rows: str, fields: Sequence[LabelField], facts: Mapping[str, Any], final: str, tmp: str
) -> int:
    """Sort rows by key and publish them as a table.

    Args:
        db: from `connect`.
        rows: a query for the columns `key` (text), `c0`, `c1`, ... for the fields, and `file`, the number of a file.
            Rows without a key are left out; of those of a file with the same key the first counts.
        fields: the columns behind the key.
        facts: kept in the table; `files` are their names.
        final: the table's file.
        tmp: folder for unfinished files, on the same file system.

    Returns:
        How many rows were left out because an earlier one of their file has their key.

    Raises:
        SourceError: DuckDB cannot read the rows, there is no room to sort them, or two files disagree about a key.
    """
    name = storage.name_of(final)
    ordered, unfinished = storage.scratch(tmp, "ordered"), storage.scratch(tmp, name)
    columns = ["key", *(f"c{i}" for i in range(len(fields)))]
    query = f"select row_number() over () as place, * from ({rows})"
    try:
        db.execute(
            f"copy (select {', '.join(columns)}, file from ({query}) where key is not null order by key, file, place) "
            f"to '{ordered}' (format parquet, compression zstd, row_group_size {BLOCK_ROWS})"
        ).fetchall()
        schema = pa.schema([("key", pa.string()), *zip(columns[1:], (_STORED[f.type] for f in fields), strict=True)])
        known = {**facts, "fields": [[field.key, field.type] for field in fields]}
        repeated = _write(ordered, schema.with_metadata({"vae_batch.labels": json.dumps(known)}), unfinished)
        storage.publish(unfinished, final, tmp)
    except ClashError as clash:
        raise SourceError(_disagree(clash, fields, facts["files"])) from None
    except duckdb.Error as error:
        raise SourceError(f"{facts.get('name', name)} cannot be sorted by its key: {first_line(error)}") from None
    finally:
        ordered.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
    return repeated


def first_line(error: Exception) -> str:
    """The first line of DuckDB's message, which goes on for many."""
    return str(error).strip().partition("\n")[0]


def _disagree(clash: ClashError, fields: Sequence[LabelField], files: Sequence[str]) -> str:
    field = fields[clash.column]
    one, two = (bool(value) if field.type == "bool" else value for value in clash.values)
    return (
        f"the label {field.key} of {clash.key} is {one!r} in {files[clash.files[0]]} and {two!r} in "
        f"{files[clash.files[1]]}: mend one of the files, or choose other labels with --columns name:type,..."
    )


def _write(ordered: Path, schema: pa.Schema, path: Path) -> int:
    """Rewrite sorted rows as Arrow record batches, one a key; give the number of rows left out."""
    with pq.ParquetFile(ordered) as file, pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        rows = OnePerKey(file.iter_batches(BLOCK_ROWS))
        for batch in rows:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    return rows.repeated


class LabelTable:
    """A table made by `build_table`, mapped into memory: 50 million rows cost pages of the system's cache alone."""

    def __init__(self, location: str) -> None:
        here = storage.fetch(location)
        self._file = pa.ipc.open_file(pa.memory_map(str(here)))
        if storage.is_remote(location):
            here.unlink()  # the map keeps the copy
        self.facts: dict[str, Any] = json.loads(self._file.schema.metadata[b"vae_batch.labels"])
        self.fields = [LabelField(*pair) for pair in self.facts.pop("fields")]
        self._blocks: list[_Block | None] = [None] * self._file.num_record_batches
        self._first: list[bytes] = []
        self.rows = 0
        for number in range(len(self._blocks)):
            batch = self._file.get_batch(number)
            self._first.append(_Texts(batch.column(0))[0])
            self.rows += len(batch)
        self._next: Place = (0, 0)

    def find(self, key: str) -> Place | None:
        """Where a key's row is; None where there is none."""
        wanted, (number, at) = key.encode("utf-8", "surrogatepass"), self._next
        if number < len(self._blocks):
            keys = self._block(number).keys  # images come in order: most often it is the row behind the last
            if at < len(keys) and keys[at] == wanted:
                self._next = (number, at + 1)
                return number, at
        number = bisect_right(self._first, wanted) - 1
        if number < 0:
            return None
        keys = self._block(number).keys
        at = bisect_left(keys, wanted)
        if at == len(keys) or keys[at] != wanted:
            return None
        self._next = (number, at + 1) if at + 1 < len(keys) else (number + 1, 0)
        return number, at

    def values(self, place: Place) -> list[Any]:
        """The values of a row, in the order of the fields."""
        number, at = place
        return [column[at] for column in self._block(number).columns]

    def _block(self, number: int) -> _Block:
        block = self._blocks[number]
        if block is None:
            block = self._blocks[number] = _Block(self._file.get_batch(number), self.fields)
        return block


@lru_cache(maxsize=64)
def open_table(path: str) -> LabelTable:
    """Open a table, once in a process. Raises OSError when it is not there."""
    return LabelTable(path)


class _Block:
    """One record batch as Python sequences over the mapped memory; nothing is copied before it is asked for."""

    def __init__(self, batch: pa.RecordBatch, fields: Sequence[LabelField]) -> None:
        self.keys = _Texts(batch.column(0))
        self.columns = [_sequence(column, f.type) for column, f in zip(batch.columns[1:], fields, strict=True)]


class _Texts(Sequence[bytes]):
    """A column of texts as UTF-8, whose order is that of the table."""

    def __init__(self, column: pa.StringArray) -> None:
        _, offsets, data = column.buffers()
        self._offsets = memoryview(offsets).cast("i")
        self._data = memoryview(data)
        self._rows = len(column)

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, at: Any) -> Any:
        return bytes(self._data[self._offsets[at] : self._offsets[at + 1]])


class _Converted(Sequence[Any]):
    """A column that has nulls, or is no plain number."""

    def __init__(self, column: pa.Array, kind: str) -> None:
        self._column, self._convert = column, _CONVERSIONS.get(kind)

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, at: Any) -> Any:
        value = self._column[at].as_py()
        return value if value is None or self._convert is None else self._convert(value)


def _sequence(column: pa.Array, kind: str) -> Sequence[Any]:
    """A column's values: of numbers without nulls the memory itself."""
    if kind in _VIEWS and not column.null_count:
        return _VIEWS[kind](memoryview(column.buffers()[1]).cast("B"))
    return _Converted(column, kind)
