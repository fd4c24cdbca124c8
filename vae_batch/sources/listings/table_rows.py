"""Rows of a Parquet or Arrow file as those of a listing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vae_batch.sources.listings.line import Line
from vae_batch.sources.tables.columns import is_plain, labels_of, texts
from vae_batch.sources.tables.handle import Handle
from vae_batch.sources.tables.table import Damage, Table, chunks


class TableRows:
    """An open table of paths; see `Rows`."""

    def __init__(self, table: Table, handle: Handle) -> None:
        self._table, self._handle = table, handle
        plain = [field.name for field in table.schema if is_plain(field.type)]
        self.names: Sequence[str] = [name for name in plain if name and plain.count(name) == 1]
        self._wanted: list[str] = list(self.names)
        self._texts: Sequence[str] = ()

    def choose(self, texts: Sequence[str], types: Mapping[str, str] | None) -> None:
        """See `Rows`."""
        self._texts = texts
        self._wanted = [n for n in self.names if n in texts or types is None or n in types]

    def lines(self, start: int, end: int | None) -> Iterator[Line]:
        """See `Rows`."""
        stop = sum(self._table.group_rows) if end is None else end
        for chunk in chunks(self._table, self._handle, start, stop, self._wanted):
            if isinstance(chunk, Damage):
                yield from (Line(row, {}, chunk.message) for row in range(start, start + chunk.num_rows))
            else:
                own = [texts(chunk.column(name)) for name in self._texts]
                for row, labels in enumerate(labels_of(chunk, self._wanted)):
                    named = {name: column[row] for name, column in zip(self._texts, own, strict=True)}
                    yield Line(start + row, {**(labels or {}), **named})
            start += chunk.num_rows
