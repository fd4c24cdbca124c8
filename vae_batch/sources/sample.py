"""A look at the first labels of a source: what the label columns are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from vae_batch.sources.folders.read import read_small
from vae_batch.sources.formats import FORMATS
from vae_batch.sources.labels.sidecars import parse_labels
from vae_batch.sources.shard import BrokenShardError
from vae_batch.sources.source import Source

_FILES_PER_SIDECAR = 20


def sample_labels(source: Source, limit: int = 1000) -> Iterator[Mapping[str, Any]]:
    """Give the labels of the first files that have any, in source order, one after the other.

    A source without labels is not read through to learn that: no more than 20 * limit files of its shards are
    passed over.

    Args:
        source: from `open_source`.
        limit: how many to look at.
    """
    return islice((labels for labels in _labels(source, limit) if labels is not None), limit)


def _labels(source: Source, limit: int) -> Iterator[Mapping[str, Any] | None]:
    for path, _, sidecar in source.files.entries():
        if sidecar:
            yield parse_labels(read_small(source.root, path))
    budget = _FILES_PER_SIDECAR * limit
    for shard in source.shards:
        with suppress(BrokenShardError):
            for labels in FORMATS[shard.format].sample(source.root, shard, source.options):
                yield labels
                budget -= 1
                if budget <= 0:
                    return
