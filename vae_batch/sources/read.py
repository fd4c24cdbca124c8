"""A unit in, its images out: `read_unit` streams the records and rejects of a unit, and counts."""

from __future__ import annotations

from collections.abc import Iterator

from vae_batch.errors import SourceError
from vae_batch.sources.files import shard_size
from vae_batch.sources.folders.read import read_folder
from vae_batch.sources.formats import FORMATS
from vae_batch.sources.shard import NO_OPTIONS, BrokenShardError, SourceOptions
from vae_batch.types import ImageRecord, Reject, Tally, Unit


def read_unit(
    root: str, unit: Unit, tally: Tally, options: SourceOptions = NO_OPTIONS
) -> Iterator[ImageRecord | Reject]:
    """Stream a unit's images in order, holding no more than a group of them.

    When the iterator is exhausted, records + rejects + tally.skipped = tally.seen, where `seen` was counted from
    names before anything was handed on.

    Args:
        root: the source's root.
        unit: from `plan_units`.
        tally: updated while reading.
        options: as given to `open_source`.

    Raises:
        SourceError: a shard is gone, has another size than when it was planned, or other members.
        OSError: the storage fails (EIO, ESTALE, a time-out ...): the attempt can be made again. What damage or
            disappearance makes unreadable is a Reject instead.
    """
    _check_sizes(root, unit)
    before = tally.seen
    for piece in unit.pieces:
        reader = read_folder if piece.format == "folder" else FORMATS[piece.format].read
        try:
            yield from reader(root, piece, tally, options)
        except BrokenShardError as error:
            tally.seen += 1
            yield Reject(f"{piece.shard}@0", piece.shard, piece.first_row, "read", error.error, str(error))
    met = tally.seen - before
    if unit.seen is not None and met != unit.seen:
        raise SourceError(
            f"unit {unit.number} ({_names(unit)}): {met:,} files where the plan counted {unit.seen:,}; "
            "the source has changed since: make a new plan, in another output folder"
        )


def _check_sizes(root: str, unit: Unit) -> None:
    """Shards that grew or shrank since the plan would give other rows than were planned."""
    for shard, planned in {p.shard: p.shard_bytes for p in unit.pieces if p.format != "folder"}.items():
        size = shard_size(root, shard)
        if size != planned:
            raise SourceError(
                f"unit {unit.number}: {shard} has {size:,} bytes where the plan found {planned:,}; the source has "
                "changed since: make a new plan, in another output folder"
            )


def _names(unit: Unit) -> str:
    """The unit's shards, for a message."""
    names = list(dict.fromkeys(piece.shard for piece in unit.pieces))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
