"""Planning for a source that has changed: what is new in it alone, and a shard that took another's place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_batch.errors import SourceError
from vae_batch.sources.cuts import Cuts, with_repeats
from vae_batch.sources.folders.loose import Entry, loose_files
from vae_batch.sources.plan import plan_units
from vae_batch.sources.shard import Index, Shard
from vae_batch.sources.source import Source
from vae_batch.sources.survey import has_ids, look_into
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
    files = loose_files(_loose(source, mask))
    shards = tuple(s for s in source.shards if s.path in names)
    return replace(source, files=files, shards=shards, before=tuple(s for s in source.shards if s.path not in names))


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
        shards: paths of those that may have changed; others of their units have not. Where ids of one shard may be
            in another, all such shards are looked at: what repeats in them may be something else now.
        unit_size: as the job has it.

    Raises:
        SourceError: a shard is gone, or cannot be cut into as many pieces as it had.
    """
    if not shards:
        return {}
    shared = {s.path for s in source.shards if has_ids(s)}
    wanted = {*shards, *shared} if shared.intersection(shards) else set(shards)
    touched = [unit for unit in units if any(piece.shard in wanted for piece in unit.pieces)]
    pieces: dict[str, list[Piece]] = {}
    for piece in (piece for unit in touched for piece in unit.pieces):
        pieces.setdefault(piece.shard, []).append(piece)
    cuts = _cuts(source, pieces, unit_size)
    found: dict[int, Unit] = {}
    for unit in touched:
        parts = [next(cuts[piece.shard]) for piece in unit.pieces]
        rows = [rows for _, rows in parts]
        seen = None if unit.seen is None or None in rows else sum(row or 0 for row in rows)
        new = replace(unit, pieces=tuple(piece for piece, _ in parts), seen=seen)
        if new != unit:
            found[unit.number] = new
    return found


_Cut = tuple[Piece, int | None]
"""A piece, and the files that a reader will see in it; None where that is not known."""


def _cuts(source: Source, pieces: Mapping[str, Sequence[Piece]], unit_size: int) -> dict[str, Iterator[_Cut]]:
    """Cut shards as they are now into as many pieces as they had, in the order of the plan. Raises SourceError."""
    known = {shard.path: shard for shard in source.shards}
    gone = [path for path in pieces if path not in known]
    if gone:
        raise SourceError(f"{gone[0]} is gone: put it back, or encode into another --out")
    shards = [known[path] for path in pieces]
    indexes = with_repeats(look_into(source, shards))
    return {
        shard.path: iter(_recut(shard, index, len(pieces[shard.path]), unit_size))
        for shard, index in zip(shards, indexes, strict=True)
    }


def _recut(shard: Shard, index: Index | None, count: int, unit_size: int) -> list[_Cut]:
    if count == 1:
        repeats = tuple(index.repeats.tolist()) if isinstance(index, Cuts) else ()
        whole = Piece(shard.path, shard.format, repeats=repeats, shard_bytes=shard.bytes)
        return [(whole, index.rows if index else None)]
    if index is not None:
        for size in (unit_size, max(1, index.rows // count)):
            stretches = list(index.split(shard, size))
            if len(stretches) == count:
                return [(stretch.piece, stretch.rows) for stretch in stretches]
    raise SourceError(
        f"{shard.path} has taken the place of a shard that {count} units share, and cannot be cut into as many pieces: "
        "encode into another --out"
    )
