"""Cutting a source into units: a function of the source (and of sizes given), never of who works on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow.compute as pc

from vae_batch.errors import SpecError
from vae_batch.sources.cuts import Cuts
from vae_batch.sources.listing import Listing
from vae_batch.sources.source import Source
from vae_batch.sources.survey import count_images, index_shard, inventory
from vae_batch.types import Piece, Unit

MIN_UNIT, MAX_UNIT = 256, 8192
MAX_PART_BYTES = 512_000_000
SPLIT_AT = 1.5
"""A tar of more units than this is split."""


def default_unit_size(total: int, row_bytes: int | None = None) -> int:
    """Files in a unit: a 64th of the collection, but 256 to 8,192, and never more than 512 MB of output.

    From 256 on it is a multiple of that, and so of the usual batch sizes: few forward passes are filled up.

    Args:
        total: files in the collection.
        row_bytes: bytes of output for each image, if known.
    """
    size = min(max(-(-total // 64), MIN_UNIT), MAX_UNIT)
    if row_bytes is not None:
        size = max(1, min(size, MAX_PART_BYTES // max(1, row_bytes)))
    return size // MIN_UNIT * MIN_UNIT or size


def plan_units(source: Source, unit_size: int | None = None, row_bytes: int | None = None) -> Iterator[Unit]:
    """Cut a source into units, in its order, numbered from 0.

    Loose files are cut every `unit_size`; small shards go together; a shard of more than one and a half units is
    split where its format allows it (a tar that is here and not compressed, between groups of members).

    Args:
        source: from `open_source`.
        unit_size: files in a unit, about; None for `default_unit_size`.
        row_bytes: output bytes for each image, for the default.

    Raises:
        SpecError: unit_size is below 1.
        SourceError: a tar is gone.
    """
    if unit_size is not None and unit_size < 1:
        raise SpecError(f"unit_size is {unit_size}; it must be 1 or more")
    size = unit_size or default_unit_size(count_images(source).files, row_bytes)
    return _number(source, size)


@dataclass(slots=True)
class _Draft:
    """A unit in the making."""

    pieces: list[Piece] = field(default_factory=list)
    rows: int = 0
    exact: bool = True
    bytes: int = 0


def _number(source: Source, size: int) -> Iterator[Unit]:
    number = 0
    for drafts in (_loose_units(source.files, size), _shard_units(source, size)):
        for draft in drafts:
            yield Unit(number, tuple(draft.pieces), draft.rows if draft.exact else None, draft.bytes)
            number += 1


def _loose_units(listing: Listing, size: int) -> Iterator[_Draft]:
    """Runs of loose files; a sidecar stays with its image."""
    ambiguous, met = _ambiguous(listing), set[str]()
    paths: list[str] = []
    repeats: list[int] = []
    row = first = nbytes = 0
    for path, file_bytes, sidecar in listing.entries():
        if not sidecar and row - first == size:
            yield _loose_unit(paths, repeats, first, row, nbytes)
            paths, repeats, first, nbytes = [], [], row, 0
        if not sidecar:
            if path in met:
                repeats.append(row)
            if path in ambiguous:
                met.add(path)
            row += 1
        paths.append(path)
        nbytes += file_bytes
    if paths:
        yield _loose_unit(paths, repeats, first, row, nbytes)


def _loose_unit(paths: list[str], repeats: list[int], first: int, row: int, nbytes: int) -> _Draft:
    piece = Piece(".", "folder", first, files=tuple(paths), repeats=tuple(repeats))
    return _Draft([piece], row - first, True, nbytes)


def _ambiguous(listing: Listing) -> set[str]:
    """Paths that two files share: one that is not UTF-8, and one whose name spells the first one's %XX."""
    spelt = listing.paths.filter(pc.match_substring(listing.paths, "%"))
    counts = pc.value_counts(spelt)
    return {entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1}


def _shard_units(source: Source, size: int) -> Iterator[_Draft]:
    """Small shards of a format together, big ones split."""
    found = inventory(source)
    draft = _Draft()
    for shard, index, rows in zip(source.shards, found.indexes, found.rows, strict=True):
        if draft.pieces and (draft.rows + rows > size or draft.pieces[-1].format != shard.format):
            yield draft
            draft = _Draft()
        if rows > SPLIT_AT * size:
            index = index or index_shard(source, shard)
            if index is not None:
                for stretch in index.split(shard, size):
                    yield _Draft([stretch.piece], stretch.rows, True, stretch.bytes)
                continue
        repeats = tuple(index.repeats.tolist()) if isinstance(index, Cuts) else ()
        draft.pieces.append(Piece(shard.path, shard.format, repeats=repeats, shard_bytes=shard.bytes))
        draft.rows += rows
        draft.exact &= index is not None
        draft.bytes += shard.bytes
    if draft.pieces:
        yield draft
