"""Listings as sources: CSV, TSV, JSON Lines, Parquet or Arrow with a column of paths or URIs, read row by row.

A listing is a shard whose rows are files elsewhere: the plan keeps where its units begin, a replica opens it there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from vae_batch import storage
from vae_batch.errors import SourceError
from vae_batch.sources.ahead import REMOTE_READS, in_order
from vae_batch.sources.cuts import Borders, Cuts, Hashes
from vae_batch.sources.files import is_lasting, open_file
from vae_batch.sources.listings.line import SAMPLE_ROWS, Line, Rows, text_of
from vae_batch.sources.listings.table_rows import TableRows
from vae_batch.sources.listings.text_rows import CsvRows, JsonRows
from vae_batch.sources.names import listing_kind
from vae_batch.sources.paths import RowError, is_web, read_named
from vae_batch.sources.shard import NO_OPTIONS, Shard, SourceOptions
from vae_batch.sources.sniff import has_image_extension
from vae_batch.sources.tables.columns import check_id, image_column, is_text
from vae_batch.sources.tables.table import open_table
from vae_batch.types import ImageRecord, Piece, Reject, Tally

# fmt: off
_PATH_NAMES = [
    "image_path", "img_path", "image_file", "path", "file_path", "filepath", "file", "file_name", "filename", "image",
    "img", "image_uri", "uri", "image_url", "img_url", "url", "src", "key",
]
# fmt: on
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class _Columns:
    path: str
    id: str
    """The column of ids; that of paths where none was named."""
    labels: Sequence[str] | None
    """None: all others, those included that only later rows have."""

    def labels_in(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if self.labels is None:
            return {name: value for name, value in values.items() if name and name not in (self.path, self.id)}
        return {name: values[name] for name in self.labels if name in values}


def is_path_table(root: str, path: str, options: SourceOptions) -> bool:
    """Whether a table has no column of images but one of paths. Raises SourceError."""
    with open_table(root, path) as (table, handle):
        if options.image_column is None and image_column(table.schema, None, path) is not None:
            return False
        if options.image_column is not None:
            return any(f.name == options.image_column and is_text(f.type) for f in table.schema)
        _find(TableRows(table, handle), options, path)
        return True


def content_digest(root: str, path: str) -> bytes:
    """The sha256 of a listing's bytes. Raises OSError."""
    digest, at = hashlib.sha256(), 0
    with open_file(root, path) as file:
        while block := file.pread(_BLOCK, at):
            digest.update(block)
            at += len(block)
    return digest.digest()


@contextmanager
def _open(root: str, path: str, options: SourceOptions) -> Iterator[tuple[Rows, _Columns]]:
    """Open a listing and choose its columns. Raises SourceError, OSError."""
    with ExitStack() as stack:
        rows = _rows(stack, root, path)
        columns = _find(rows, options, path)
        rows.choose(list(dict.fromkeys([columns.path, columns.id])), options.columns)
        yield rows, columns


def _rows(stack: ExitStack, root: str, path: str) -> Rows:
    kind = listing_kind(path)
    if kind is None:
        return TableRows(*stack.enter_context(open_table(root, path)))
    try:
        file = stack.enter_context(open_file(root, path))
    except OSError as error:
        if is_lasting(error):
            raise SourceError(f"listing {path} under {root} cannot be read: {error.strerror or error}") from error
        raise
    return JsonRows(file, path) if kind == "json" else CsvRows(file, path, kind == "tsv")


def _find(rows: Rows, options: SourceOptions, title: str) -> _Columns:
    """The columns of a listing, by its first rows. Raises SourceError."""
    sample = [line.values for line in islice(rows.lines(0, None), SAMPLE_ROWS)]
    path = _path_column(rows.names, sample, options.image_column, title)
    check_id(options, {name: not _nested(sample, name) for name in rows.names}, title)
    named = [str(values[path]) for values in sample if values.get(path)]
    if named and all(map(is_web, named)):
        raise SourceError(
            f"{title}: the column {path} holds addresses of the web, such as {named[0]}, which are not fetched: "
            "download the images first (img2dataset writes tars that can be encoded)"
        )
    labels = None if options.columns is None else [name for name in options.columns if name != path]
    return _Columns(path, options.id_column or path, labels)


def _path_column(names: Sequence[str], sample: list[Mapping[str, Any]], named: str | None, title: str) -> str:
    if named is not None and named in names:
        return named
    texts = [name for name in names if any(isinstance(values.get(name), str) for values in sample)]
    usual = sorted((n for n in texts if n.lower() in _PATH_NAMES), key=lambda n: _PATH_NAMES.index(n.lower()))
    likely = [name for name in texts if _looks_like_images(sample, name)]
    best = [name for name in usual if name in likely] or (likely if len(likely) == 1 else usual)
    if named is None and best:
        return best[0]
    if not sample:
        raise SourceError(f"{title} has no rows")
    problem = "no column is clearly one of paths to images" if named is None else f"there is no column {named}"
    raise SourceError(f"{title}: {problem}; say which with --image-column. Its columns are {', '.join(names)}")


def _looks_like_images(sample: list[Mapping[str, Any]], name: str) -> bool:
    cells = [values[name] for values in sample if values.get(name)]
    return sum(isinstance(cell, str) and has_image_extension(cell) for cell in cells) * 2 > len(cells)


def _nested(sample: list[Mapping[str, Any]], name: str) -> bool:
    return any(isinstance(values.get(name), dict | list) for values in sample)


def index_listing(root: str, shard: Shard, options: SourceOptions) -> Cuts:
    """Read a listing through: its rows, where each begins, and which repeat an id."""
    borders, hashes = Borders(), Hashes()
    rows = 0
    with _open(root, shard.path, options) as (listing, columns):
        listing.choose([columns.path, columns.id], {})
        for line in listing.lines(0, None):
            borders.add(line.at, rows)
            hashes.add(text_of(line.values.get(columns.id)) or None)
            rows += 1
    return borders.cuts(rows, hashes)


def sample_listing(root: str, shard: Shard, options: SourceOptions) -> Iterator[Mapping[str, Any] | None]:
    """Give the labels of the rows from the first on."""
    with _open(root, shard.path, options) as (listing, columns):
        for line in listing.lines(0, None):
            yield columns.labels_in(line.values) or None


def read_listing(
    root: str, piece: Piece, tally: Tally, options: SourceOptions = NO_OPTIONS
) -> Iterator[ImageRecord | Reject]:
    """Read the files that rows of a listing name; `Piece.start` and `end` are `Line.at`.

    A row that cannot be understood, and a file that is gone, is a reject.

    Raises:
        SourceError: the listing is gone, or cannot be read.
        OSError: the storage fails; the attempt can be made again.
    """
    repeats = frozenset(piece.repeats)
    with _open(root, piece.shard, options) as (listing, columns):

        def read(item: tuple[int, Line]) -> ImageRecord | Reject:
            row, line = item
            image_id = text_of(line.values.get(columns.id))
            try:
                _check(line, image_id, columns)
                if row in repeats:
                    raise RowError("DuplicateId", "an earlier row of the source has this id")
                data = read_named(root, piece.shard, text_of(line.values.get(columns.path)) or "")
            except RowError as error:
                name = image_id or f"{piece.shard}#{row}"
                return Reject(name, piece.shard, row, "read", error.error, error.message)
            return ImageRecord(image_id or "", piece.shard, row, data, columns.labels_in(line.values) or None)

        lines = listing.lines(piece.start, piece.end)
        first = list(islice(lines, 1))
        elsewhere = storage.is_remote(root) or any(
            storage.is_remote(text_of(line.values.get(columns.path)) or "") for line in first
        )
        rows = enumerate(chain(first, lines), piece.first_row)
        for found in in_order(read, rows, REMOTE_READS if elsewhere else 0):
            tally.seen += 1
            tally.bytes += len(found.data) if isinstance(found, ImageRecord) else 0
            yield found


def _check(line: Line, image_id: str | None, columns: _Columns) -> None:
    if line.error:
        raise RowError("BadRow", line.error)
    if not image_id:
        raise RowError(
            "NoId" if columns.id != columns.path else "NoPath", f"the column {columns.id} is empty in this row"
        )
