"""A look at the first sidecars of a source: what the label columns are made from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from vae_batch.sources.folder import read_small
from vae_batch.sources.groups import groups, pair
from vae_batch.sources.labels import MAX_SIDECAR_BYTES, parse_labels
from vae_batch.sources.member import Member
from vae_batch.sources.source import Source
from vae_batch.sources.streams import Stream, open_stream
from vae_batch.sources.tar import Walk

_FILES_PER_SIDECAR = 20


def sample_labels(source: Source, limit: int = 1000) -> list[dict[str, Any]]:
    """The label objects of the first sidecars in source order.

    A source without sidecars is not read through to learn that: no more than 20 * limit files of its tars are
    passed over, with all that is in the tar where that happens left out.

    Args:
        source: from `open_source`.
        limit: how many sidecars to look at; those that hold no JSON object count, and give nothing.
    """
    return [labels for data in islice(_sidecars(source, limit), limit) if (labels := parse_labels(data)) is not None]


def _sidecars(source: Source, limit: int) -> Iterator[bytes | None]:
    for path, _, sidecar in source.files.entries():
        if sidecar:
            yield read_small(source.root, path)
    budget = _FILES_PER_SIDECAR * limit
    for shard in source.shards:
        with open_stream(source.root, shard.path) as stream:
            for key, group in groups(Walk(stream), partial(_load_json, stream)):
                files, sidecars = pair(key, group)
                yield from (member.data for member in sidecars)
                budget -= len(files)
                if budget <= 0:
                    return


def _load_json(stream: Stream, member: Member) -> None:
    if member.kind == "file" and member.is_json and member.size <= MAX_SIDECAR_BYTES and not member.error:
        member.data = stream.read(member.size)
