"""The formats of shards, each with its way to be counted, split, sampled and read. A new one is an entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vae_batch.sources.listings.read import index_listing, read_listing, sample_listing
from vae_batch.sources.shard import Index, Shard, SourceOptions
from vae_batch.sources.tables.read import index_table, read_table, sample_table
from vae_batch.sources.tar.index import index_tar, mean_bytes
from vae_batch.sources.tar.read import read_tar, sample_tar
from vae_batch.sources.zip.read import index_zip, read_zip, sample_zip
from vae_batch.types import ImageRecord, Piece, Reject, ShardFormat, Tally


@dataclass(frozen=True, slots=True)
class Format:
    """One format of shards."""

    index: Callable[[str, Shard, SourceOptions], Index | None]
    """Root and shard to what is in it; None where only reading it through would tell.

    Raises BrokenShardError where nothing in it can be read, SourceError where it is gone, OSError of the storage.
    """
    read: Callable[[str, Piece, Tally, SourceOptions], Iterator[ImageRecord | Reject]]
    """Stream a piece; see `read_unit`."""
    sample: Callable[[str, Shard, SourceOptions], Iterator[Mapping[str, Any] | None]]
    """The labels of the first files, one after the other; None for a file without."""
    mean_bytes: Callable[[str, Shard], float] | None = None
    """Bytes on disk for each file, from the first ones; for formats whose `index` may be None."""


FORMATS: dict[ShardFormat, Format] = {
    "tar": Format(index_tar, read_tar, sample_tar, mean_bytes),
    "zip": Format(index_zip, read_zip, sample_zip),
    "parquet": Format(index_table, read_table, sample_table),
    "arrow": Format(index_table, read_table, sample_table),
    "listing": Format(index_listing, read_listing, sample_listing),
}
