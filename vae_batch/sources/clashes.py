"""Ids that two files of a source would share: told before any work, since only their owner can tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from vae_batch.errors import SourceError
from vae_batch.sources.folders.loose import LooseFiles
from vae_batch.sources.names import SHARD_EXTENSIONS
from vae_batch.sources.shard import Shard

_INSIDE = r"(?i)(" + "|".join(extension.replace(".", r"\.") for extension in SHARD_EXTENSIONS) + ")[/#]"
"""What a path has in it that may read like the id of an image in a shard: `a.tar/x.jpg`, `a.parquet#7`."""


def check_shards(location: str, files: LooseFiles, shards: Iterable[Shard]) -> None:
    """Refuse shards of one name, and files that lie where a shard's images have their ids.

    Names that are not UTF-8 may read the same once they are text; an object store may hold both `a.tar` and
    `a.tar/x.jpg`. Loose files of one name, and members of one shard, are rejects of their own.

    Raises:
        SourceError: there are such; the first is named.
    """
    shards = list(shards)
    paths = pa.array([shard.path for shard in shards], pa.large_string())
    counts = Counter(paths.to_pylist())
    twice = next((path for path, count in counts.items() if count > 1), None)
    if twice is not None:
        raise SourceError(
            f"{location}: two shards have names that both read {twice} (one of them is not UTF-8, and its other bytes "
            "are written as %XX): rename one"
        )
    for column in (files.paths, paths):
        for path in column.filter(pc.match_substring_regex(column, _INSIDE)).to_pylist():
            shard = next((prefix for prefix in _prefixes(path) if prefix in counts), None)
            if shard is not None:
                raise SourceError(
                    f"{location}: the id {path} may mean the file {path} or an image in the shard {shard}: rename one, "
                    "or name what is meant by a pattern or by a folder below"
                )


def _prefixes(path: str) -> Iterator[str]:
    """The beginnings of a path that end before a slash or a number sign."""
    return (path[:i] for i, c in enumerate(path) if c in "/#")
