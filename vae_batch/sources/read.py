"""A unit in, its images out: `read_unit` streams the records and rejects of a unit, and counts."""

from __future__ import annotations

from collections.abc import Iterator

from vae_batch.errors import SourceError
from vae_batch.sources.archive import read_tar
from vae_batch.sources.folder import read_folder
from vae_batch.sources.streams import locate_shard
from vae_batch.types import ImageRecord, Reject, Tally, Unit


def read_unit(root: str, unit: Unit, tally: Tally) -> Iterator[ImageRecord | Reject]:
    """Stream a unit's images in order, holding no more than a group of them.

    When the iterator is exhausted, records + rejects + tally.skipped = tally.seen, where `seen` was counted from
    names before anything was handed on.

    Args:
        root: the source's root.
        unit: from `plan_units`.
        tally: updated while reading.

    Raises:
        SourceError: a tar is gone, has another size than when it was planned, or other members.
        OSError: the storage fails (EIO, ESTALE, a time-out ...): the attempt can be made again. What damage or
            disappearance makes unreadable is a Reject instead.
    """
    _check_size(root, unit)
    before = tally.seen
    for piece in unit.pieces:
        reader = read_folder if piece.format == "folder" else read_tar
        yield from reader(root, piece, tally)
    met = tally.seen - before
    if unit.seen is not None and met != unit.seen:
        raise SourceError(
            f"unit {unit.number} ({_names(unit)}): {met:,} files where the plan counted {unit.seen:,}; "
            "the source has changed since: make a new plan, in another output folder"
        )


def _check_size(root: str, unit: Unit) -> None:
    """Tars that grew or shrank since the plan would give other rows than were planned."""
    if any(piece.format == "folder" for piece in unit.pieces):
        return
    size = 0
    for piece in unit.pieces:
        end = locate_shard(root, piece.shard)[1] if piece.end is None else piece.end
        size += end - piece.start
    if size != unit.bytes:
        raise SourceError(
            f"unit {unit.number} ({_names(unit)}): {size:,} bytes where the plan found {unit.bytes:,}; "
            "the source has changed since: make a new plan, in another output folder"
        )


def _names(unit: Unit) -> str:
    """The unit's shards, for a message."""
    names = list(dict.fromkeys(piece.shard for piece in unit.pieces))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
