"""Tables of images as shards: Parquet and Arrow, counted by their footers, cut between and within row groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vae_batch import storage
from vae_batch.sources.cuts import Borders, Cuts, Hashes
from vae_batch.sources.paths import RowError, read_named
from vae_batch.sources.shard import NO_OPTIONS, Shard, SourceOptions, Stretch
from vae_batch.sources.streams import MAX_FILE_BYTES, too_large
from vae_batch.sources.tables.columns import Picked, described, labels_of, pick, texts
from vae_batch.sources.tables.handle import Handle
from vae_batch.sources.tables.table import Damage, Table, chunks, open_table
from vae_batch.types import ImageRecord, Piece, Reject, Tally

_PIECES, _MIN_ROWS = 8, 64
"""A row group here may be cut into so many pieces of so many rows: each reads the group from its beginning."""


@dataclass(frozen=True, slots=True)
class NoImages:
    """A table without a column of images, such as a `metadata.parquet`: one file that is no image."""

    why: str
    rows: int = 1

    def split(self, shard: Shard, size: int) -> Iterator[Stretch]:
        """See `Index`."""
        yield Stretch(Piece(shard.path, shard.format, shard_bytes=shard.bytes), 1, shard.bytes)


def index_table(root: str, shard: Shard, options: SourceOptions) -> Cuts | NoImages:
    """Count a table's rows by its footer; the ids are read where a column holds them."""
    with open_table(root, shard.path) as (table, handle):
        picked = pick(table.schema, options, shard.path)
        if picked is None:
            return NoImages(
                f"{shard.path} has no column of images (bytes, or struct<bytes, path>); its columns are "
                f"{described(table.schema)}"
            )
        ids = _hashes(table, handle, picked.id) if picked.id else None
        return _borders(table, not storage.is_remote(root)).cuts(sum(table.group_rows), ids)


def _borders(table: Table, here: bool) -> Borders:
    """Between all groups; and within large ones of a file that is here, where reading to a border costs little."""
    borders, first = Borders(), 0
    for rows in table.group_rows:
        step = max(-(-rows // _PIECES), _MIN_ROWS) if here else max(rows, 1)
        for row in range(first, first + rows, step):
            borders.add(row, row)
        first += rows
    return borders


def _hashes(table: Table, handle: Handle, name: str) -> Hashes:
    hashes = Hashes()
    for image_id in _ids(table, handle, name):
        hashes.add(image_id)
    return hashes


def _ids(table: Table, handle: Handle, name: str) -> Iterator[str | None]:
    for chunk in chunks(table, handle, 0, sum(table.group_rows), [name]):
        for image_id in [None] * chunk.num_rows if isinstance(chunk, Damage) else texts(chunk.column(0)):
            yield image_id or None


def table_ids(root: str, shard: Shard, options: SourceOptions) -> Iterator[str | None]:
    """The ids that a column holds, of each row; None where there is none. Raises SourceError, OSError."""
    with open_table(root, shard.path) as (table, handle):
        picked = pick(table.schema, options, shard.path)
        if picked and picked.id:
            yield from _ids(table, handle, picked.id)


def read_table(
    root: str, piece: Piece, tally: Tally, options: SourceOptions = NO_OPTIONS
) -> Iterator[ImageRecord | Reject]:
    """Read rows of a table; `Piece.start` and `end` are row numbers.

    Rows of a damaged row group are rejects, one each.

    Raises:
        SourceError: the table is gone, or its footer is damaged.
        OSError: the storage fails; the attempt can be made again.
    """
    with open_table(root, piece.shard) as (table, handle):
        picked = pick(table.schema, options, piece.shard)
        if picked is None:
            tally.seen += 1
            tally.skipped += 1
            return
        end = sum(table.group_rows) if piece.end is None else piece.end
        tally.seen += end - piece.start
        rows = _Rows(root, piece, picked)
        row = piece.start
        for chunk in chunks(table, handle, piece.start, end, picked.names):
            for found in rows.damaged(row, chunk) if isinstance(chunk, Damage) else rows.records(row, chunk):
                tally.bytes += len(found.data) if isinstance(found, ImageRecord) else 0
                yield found
            row += chunk.num_rows


def sample_table(root: str, shard: Shard, options: SourceOptions) -> Iterator[Mapping[str, Any] | None]:
    """Give the labels of the rows from the first on."""
    with open_table(root, shard.path) as (table, handle):
        picked = pick(table.schema, options, shard.path)
        if picked is None or not picked.labels:
            return
        for chunk in chunks(table, handle, 0, sum(table.group_rows), picked.labels):
            if not isinstance(chunk, Damage):
                yield from labels_of(chunk, picked.labels)


class _Rows:
    """Makes records of a piece's rows."""

    def __init__(self, root: str, piece: Piece, picked: Picked) -> None:
        self._root, self._shard, self._picked = root, piece.shard, picked
        self._repeats = frozenset(piece.repeats)

    def damaged(self, first: int, damage: Damage) -> Iterator[Reject]:
        for row in range(first, first + damage.num_rows):
            yield self._reject(row, None, "TableDamaged", damage.message)

    def records(self, first: int, batch: pa.RecordBatch) -> Iterator[ImageRecord | Reject]:
        column = batch.column(self._picked.image)
        names = texts(batch.column(self._picked.id)) if self._picked.id else [None] * batch.num_rows
        images, labels = _images(column), labels_of(batch, self._picked.labels)
        for row, (image_id, (data, path), own) in enumerate(zip(names, images, labels, strict=True), first):
            try:
                self._check_id(row, image_id)
                data = self._data(data, path)
            except RowError as error:
                yield self._reject(row, image_id, error.error, error.message)
            else:
                yield ImageRecord(image_id or f"{self._shard}#{row}", self._shard, row, data, own)

    def _check_id(self, row: int, image_id: str | None) -> None:
        if self._picked.id is None:
            return
        if not image_id:
            raise RowError("NoId", f"the column {self._picked.id} is empty in this row")
        if row in self._repeats:
            raise RowError("DuplicateId", "an earlier row of the source has this id")

    def _data(self, data: bytes | None, path: str | None) -> bytes:
        if data is None and path:
            return read_named(self._root, self._shard, path)
        if data is None:
            raise RowError("NoImage", f"the column {self._picked.image} is null in this row")
        if len(data) > MAX_FILE_BYTES:
            raise RowError("TooLarge", too_large(len(data)))
        return data

    def _reject(self, row: int, image_id: str | None, error: str, message: str) -> Reject:
        return Reject(image_id or f"{self._shard}#{row}", self._shard, row, "read", error, message)


def _images(column: pa.Array) -> Iterator[tuple[bytes | None, str | None]]:
    """Bytes and path of each row of a column of images."""
    if not pa.types.is_struct(column.type):
        return ((data, None) for data in column.to_pylist())
    fields = [field.name for field in column.type]
    data = pc.struct_field(column, "bytes").to_pylist()
    paths = texts(pc.struct_field(column, "path")) if "path" in fields else [None] * len(column)
    return zip(data, paths, strict=True)
