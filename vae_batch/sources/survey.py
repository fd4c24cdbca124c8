"""How many files a source has: counted from the directories of its shards where that is cheap, else estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from vae_batch.errors import SourceError
from vae_batch.sources.clashes import check_ids
from vae_batch.sources.cuts import with_repeats
from vae_batch.sources.formats import FORMATS
from vae_batch.sources.names import is_compressed
from vae_batch.sources.shard import BrokenIndex, BrokenShardError, Index, Shard
from vae_batch.sources.sniff import has_image_extension
from vae_batch.sources.source import Source
from vae_batch.sources.tables.read import NoImages

WALK_BYTES = 16 << 30
"""Uncompressed tars of up to so many bytes together are walked for an exact count."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is in a source."""

    shards: int
    """Shards, and one for the loose files if there are any."""
    files: int
    """What readers will meet: images, damage and other files, without sidecars."""
    bytes: int
    """On disk."""
    exact: bool
    """Whether `files` was counted; else it is estimated from bytes."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was found in each shard, in order."""

    indexes: list[Index | None]
    """None where the shard was not looked through."""
    rows: list[int]
    """Files in it, counted or estimated."""
    broken: list[BrokenShardError]
    """Shards in which nothing can be read."""


def count_images(source: Source) -> Extent:
    """How many files a source has: exactly or, for compressed, remote and very large tars, about.

    Raises:
        SourceError: a shard is gone, or cannot be read.
    """
    found = inventory(source)
    loose = source.files.seen
    shards = len(found.rows) + (loose > 0)
    return Extent(shards, loose + sum(found.rows), source.bytes, None not in found.indexes)


def broken_shards(source: Source) -> list[str]:
    """What the user should know before the work begins: shards of which nothing can be read. Raises SourceError."""
    broken = inventory(source).broken
    lines = [f"Warning: {error}. It will be one reject, and none of its images a row." for error in broken[:3]]
    return lines + ([f"Warning: so it is with {len(broken) - 3:,} more shards."] if len(broken) > 3 else [])


@lru_cache(maxsize=1)
def inventory(source: Source) -> Inventory:
    """Look into the shards of a source, once for all who ask about the same Source object.

    Raises:
        SourceError: a shard is gone, or nothing in the whole source can be read.
    """
    tars = (s.bytes for s in source.shards if s.format == "tar" and not is_compressed(s.path))
    walk = sum(tars) <= WALK_BYTES
    mean: dict[bool, float] = {}
    found = Inventory([], [], [])
    for shard in source.shards:
        try:
            index = index_shard(source, shard) if walk or shard.format != "tar" else None
        except BrokenShardError as error:
            found.broken.append(error)
            index = BrokenIndex()
        found.indexes.append(index)
        found.rows.append(index.rows if index else _estimate(source, shard, mean))
    if found.broken and len(found.broken) == len(source.shards) and not source.files.seen:
        raise found.broken[0]
    _require_images(source, found)
    check_ids(source, filter(None, found.indexes))
    known = look_into(source, [shard for shard in source.before if has_ids(shard)])
    found.indexes[:] = with_repeats([*known, *found.indexes])[len(known) :]
    return found


def has_ids(shard: Shard) -> bool:
    """Whether the ids in a shard may be those of another shard's images; elsewhere they begin with its path."""
    return shard.format in ("parquet", "arrow", "listing")


def look_into(source: Source, shards: Sequence[Shard]) -> list[Index | None]:
    """Look into some shards only, whatever repeats in them; what cannot be read is as in `inventory`.

    Raises:
        SourceError: a shard is gone.
    """

    def look(shard: Shard) -> Index | None:
        try:
            return index_shard(source, shard)
        except BrokenShardError:
            return BrokenIndex()

    return [look(shard) for shard in shards]


def _require_images(source: Source, found: Inventory) -> None:
    """Refuse a source of nothing but tables without images; beside images such a table is skipped."""
    empty = [index for index in found.indexes if isinstance(index, NoImages)]
    if not empty or len(empty) < len(found.indexes):
        return
    if not any(has_image_extension(path) for path, _, _ in source.files.entries()):
        raise SourceError(f"{empty[0].why}; --image-column names one")


def index_shard(source: Source, shard: Shard) -> Index | None:
    """Look into a shard. A plan is made once, by the driver: what the storage does to it is for the user to see."""
    try:
        return FORMATS[shard.format].index(source.root, shard, source.options)
    except OSError as error:
        raise _unreadable(source, shard, error) from error


def _estimate(source: Source, shard: Shard, mean: dict[bool, float]) -> int:
    """Files in a shard by its size, as the first one of its kind has them."""
    compressed = is_compressed(shard.path)
    if compressed not in mean:
        measure = FORMATS[shard.format].mean_bytes
        assert measure is not None
        try:
            mean[compressed] = measure(source.root, shard)
        except OSError as error:
            raise _unreadable(source, shard, error) from error
    return max(1, round(shard.bytes / mean[compressed]))


def _unreadable(source: Source, shard: Shard, error: OSError) -> SourceError:
    return SourceError(f"{shard.path} under {source.root} cannot be read: {error.strerror or error}")
