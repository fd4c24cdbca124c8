"""Planning for a source that has changed: what is new in it alone, and a shard that took another's place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_batch.errors import SourceError
from vae_batch.sources.listing import Entry, listing_of
from vae_batch.sources.plan import plan_units
from vae_batch.sources.source import Source
from vae_batch.sources.survey import index_shard
from vae_batch.types import Piece, Unit

_BATCH = 1 << 16


def collection_of(source: Source) -> Iterator[pa.RecordBatch]:
    """Path and size of every file of a source, in its order: a large_string and an int64 column."""
    names = ["path", "size"]
    for at in range(0, len(source.files.sizes), _BATCH):
        sizes = pa.array(source.files.sizes[at : at + _BATCH], pa.int64())
        yield pa.RecordBatch.from_arrays([source.files.paths.slice(at, _BATCH), sizes], names)
    for at in range(0, len(source.shards), _BATCH):
        some = source.shards[at : at + _BATCH]
        columns = [pa.array([s.path for s in some], pa.large_string()), pa.array([s.bytes for s in some], pa.int64())]
        yield pa.RecordBatch.from_arrays(columns, names)


def only(source: Source, new: pa.Array) -> Source:
    """A source without its old files: the new ones, in its order; an old sidecar comes with its new image.

    Args:
        source: as it is now.
        new: paths of what is new.

    Raises:
        SourceError: a sidecar is new and its image is not: the image's row is written already.
    """
    mask = pc.is_in(source.files.paths, value_set=new.cast(pa.large_string())).to_numpy(zero_copy_only=False)
    names = set(new.to_pylist()) if source.shards else set()
    files = listing_of(_loose(source, mask))
    return replace(source, files=files, shards=tuple(s for s in source.shards if s.path in names))


def _loose(source: Source, mask: np.ndarray) -> Iterator[Entry]:
    image, wanted = "", False
    for (path, size, sidecar), new in zip(source.files.entries(), mask.tolist(), strict=True):
        if not sidecar:
            image, wanted = path, new
        elif new and not wanted:
            raise SourceError(
                f"{path} is new and holds the labels of {image}, which is planned already without them, and its row "
                "stays as it is: take the file away, or encode into another --out"
            )
        if wanted:
            yield path, size


def further_units(new: Source, unit_size: int, number: int, row: int) -> Iterator[Unit]:
    """Plan new files as units behind those that are there.

    Args:
        new: from `only`.
        unit_size: as the job has it.
        number: of the first unit.
        row: of the first loose file; the old ones are before it.
    """
    for unit in plan_units(new, unit_size):
        pieces = tuple(_moved(piece, row) if piece.format == "folder" else piece for piece in unit.pieces)
        yield replace(unit, number=number + unit.number, pieces=pieces)


def _moved(piece: Piece, by: int) -> Piece:
    return replace(piece, first_row=piece.first_row + by, repeats=tuple(row + by for row in piece.repeats))


def replanned(source: Source, units: Iterable[Unit], shards: Collection[str], unit_size: int) -> dict[int, Unit]:
    """Plan anew the units that hold some shards which may have changed; those that come out as they were are left out.

    Args:
        source: as it is now.
        units: of the plan, in order.
        shards: paths of those that may have changed; others of their units have not.
        unit_size: as the job has it.

    Raises:
        SourceError: a shard is gone, or cannot be cut into as many pieces as it had.
    """
    touched: list[Unit] = []
    pieces: dict[str, list[Piece]] = {}
    for unit in units if shards else ():
        mine = [piece for piece in unit.pieces if piece.shard in shards]
        touched += [unit] if mine else []
        for piece in mine:
            pieces.setdefault(piece.shard, []).append(piece)
    cuts = {shard: iter(recut(source, shard, old, unit_size)) for shard, old in pieces.items()}
    found: dict[int, Unit] = {}
    for unit in touched:
        parts = [
            next(cuts[p.shard]) if p.shard in cuts else recut(source, p.shard, [p], unit_size)[0] for p in unit.pieces
        ]
        rows = [rows for _, rows in parts]
        seen = None if unit.seen is None or None in rows else sum(row or 0 for row in rows)
        new = replace(unit, pieces=tuple(piece for piece, _ in parts), seen=seen)
        if new != unit:
            found[unit.number] = new
    return found


def recut(source: Source, path: str, pieces: Sequence[Piece], unit_size: int) -> list[tuple[Piece, int | None]]:
    """Cut a shard that was repaired or replaced into as many pieces as it had.

    Args:
        source: as it is now.
        path: of the shard.
        pieces: that it had, in order.
        unit_size: as the job has it.

    Returns:
        The pieces, each with the files that a reader will see in it, None where that is not known.

    Raises:
        SourceError: it cannot be cut so, or is gone.
    """
    shard = next((s for s in source.shards if s.path == path), None)
    if shard is None:
        raise SourceError(f"{path} is gone: put it back, or encode into another --out")
    index = index_shard(source, shard)
    if len(pieces) == 1:
        whole = Piece(shard.path, shard.format, shard_bytes=shard.bytes)
        return [(whole, index.rows if index else None)]
    if index is not None:
        for size in (unit_size, max(1, index.rows // len(pieces))):
            stretches = list(index.split(shard, size))
            if len(stretches) == len(pieces):
                return [(stretch.piece, stretch.rows) for stretch in stretches]
    raise SourceError(
        f"{path} has taken the place of a shard that {len(pieces)} units share, and cannot be cut into as many pieces: "
        "encode into another --out"
    )
