"""Ids that two files of a source would share: told before any work, since only their owner can tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_batch.errors import SourceError
from vae_batch.sources.cuts import Cuts
from vae_batch.sources.folders.loose import LooseFiles
from vae_batch.sources.names import SHARD_EXTENSIONS
from vae_batch.sources.shard import Index, Shard
from vae_batch.sources.sniff import has_image_extension
from vae_batch.sources.tables.read import table_ids

if TYPE_CHECKING:
    from vae_batch.sources.source import Source

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


def check_ids(source: Source, indexes: Iterable[Index]) -> None:
    """Refuse ids of a column that are the path of a loose image, or read like that of an image in an archive.

    Among themselves ids of columns are told apart by the plan, which makes the later ones rejects. Compared are 64-bit
    hashes, 8 bytes an image; the column is read again only beside archives.

    Raises:
        SourceError: there is one; it is named.
        OSError: the storage fails.
    """
    hashes = [index.ids.arrays()[0] for index in indexes if isinstance(index, Cuts) and index.ids is not None]
    if not hashes:
        return
    known = np.sort(np.concatenate(hashes))
    for path, _, sidecar in source.files.entries() if len(known) else ():
        if not sidecar and has_image_extension(path) and _is_in(known, hash(path)):
            _refuse(source, path, f"the file {path}")
    archives = {shard.path for shard in source.shards if shard.format in ("tar", "zip")}
    for shard in source.shards if archives else ():
        if shard.format in ("parquet", "arrow"):
            for image_id in filter(None, table_ids(source.root, shard, source.options)):
                archive = next((prefix for prefix in _prefixes(image_id) if prefix in archives), None)
                if archive is not None:
                    _refuse(source, image_id, f"an image in the shard {archive}")


def _is_in(ordered: npt.NDArray[np.int64], value: int) -> bool:
    at = int(np.searchsorted(ordered, value))
    return at < len(ordered) and int(ordered[at]) == value


def _refuse(source: Source, image_id: str, other: str) -> NoReturn:
    raise SourceError(
        f"{source.root}: the id {image_id} of the column {source.options.id_column} may mean a row of a table or "
        f"{other}: encode the tables apart, or choose another --id-column"
    )


def _prefixes(path: str) -> Iterator[str]:
    """The beginnings of a path that end before a slash or a number sign."""
    return (path[:i] for i, c in enumerate(path) if c in "/#")
