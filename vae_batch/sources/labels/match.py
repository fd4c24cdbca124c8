"""How the keys of a label file name the images: by the id, the path in an archive, the name, or the stem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from vae_batch.errors import SourceError
from vae_batch.sources.formats import FORMATS
from vae_batch.sources.labels.files import LabelFile, Relation
from vae_batch.sources.labels.types import key_sql
from vae_batch.sources.names import stem_of
from vae_batch.sources.sniff import has_image_extension
from vae_batch.sources.source import Source
from vae_batch.types import Piece, Tally

SAMPLE = 1000
"""Loose files looked at."""
SHARDS, PER_SHARD = 16, 64
"""Shards looked into, and images of each."""

Image = tuple[str, str]
"""An image's id, and its shard."""

MATCHES = ("id", "path", "name", "stem")
"""What a key may be, in the order in which it is tried."""


def key_of(match: str, image_id: str, shard: str) -> str:
    """What an image is called by files whose keys are ids, paths in the archive, names, or stems."""
    if match == "id":
        return image_id
    if match == "path":
        return image_id.removeprefix(f"{shard}/")
    name = image_id[image_id.rfind("/") + 1 :]
    return name if match == "name" else stem_of(name)


@dataclass(frozen=True, slots=True)
class Match:
    """How the keys of one file were found to name the images."""

    how: str
    """One of MATCHES."""
    rows: int
    """Of the file."""
    found: int
    """Images of the sample that have a row."""
    sample: int
    shared: int
    """Images of the sample whose key another one has too: they get the same labels."""


def sample_ids(source: Source) -> list[Image]:
    """Ids from all over a source: of loose files, and of the first files of some shards.

    Raises:
        SourceError: a shard is gone.
        OSError: the storage fails.
    """
    ids = [(path, ".") for path in _evenly(source.files.paths, SAMPLE) if has_image_extension(path)]
    for shard in _evenly(source.shards, SHARDS):
        piece = Piece(shard.path, shard.format, shard_bytes=shard.bytes)
        records = FORMATS[shard.format].read(source.root, piece, Tally(), source.options)
        ids += [(item.id, item.shard) for item in islice(records, PER_SHARD)]
    return ids


def _evenly(items: Any, count: int) -> Iterator[Any]:
    """Up to so many of the items, from the first to the last."""
    for at in np.unique(np.linspace(0, max(0, len(items) - 1), min(count, len(items))).astype(int)).tolist():
        item = items[at]
        yield item.as_py() if isinstance(item, pa.Scalar) else item


def find_match(db: Any, file: LabelFile, relation: Relation, ids: list[Image]) -> Match:
    """Choose what the keys of a file are: what most of the sampled images are found by; the first of equals.

    Raises:
        SourceError: no image of the sample is found by any.
    """
    probe = pa.table({"name": pa.array({key_of(how, *image) for how in MATCHES for image in ids}, pa.string())})
    key = key_sql(relation)
    db.register("probe", probe)
    try:
        [(rows, example)] = db.execute(f"select count(*), any_value({key}) from {relation.sql}").fetchall()
        found = db.execute(
            f"select distinct key from (select {key} as key from {relation.sql}) where key in (select name from probe)"
        ).fetchall()
    finally:
        db.unregister("probe")
    known = {name for (name,) in found}
    counts = {how: sum(key_of(how, *image) in known for image in ids) for how in MATCHES}
    how = max(MATCHES, key=lambda match: counts[match])
    if ids and not counts[how]:
        raise SourceError(
            f"{file.name} names none of {len(ids):,} images looked at: it has keys such as {example!r}, the images "
            f"have ids such as {ids[0][0]!r}, and neither id, path in the archive, name nor stem is a key"
        )
    repeated = Counter(key_of(how, image_id, shard) for image_id, shard in ids)
    return Match(how, rows, counts[how], len(ids), sum(n for n in repeated.values() if n > 1))
