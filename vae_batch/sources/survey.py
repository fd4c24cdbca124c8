"""How many files a source has: counted over the headers of its tars where that is cheap, else estimated."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vae_batch.errors import SourceError
from vae_batch.sources.groups import groups, pair
from vae_batch.sources.header import BLOCK
from vae_batch.sources.member import Member
from vae_batch.sources.source import Shard, Source
from vae_batch.sources.streams import READ_BYTES, GzipStream, Stream, open_stream
from vae_batch.sources.tar import Walk

WALK_BYTES = 16 << 30
"""Uncompressed tars of up to so many bytes together are walked for an exact count."""
_MAX_BORDERS = 1 << 16
_SAMPLE_FILES = 1000


@dataclass(frozen=True, slots=True)
class TarIndex:
    """A tar after a walk over its headers."""

    rows: int
    """Files that a reader will see."""
    border_offsets: npt.NDArray[np.int64]
    """Where the tar may be split: offsets of headers, ascending, the first 0; all borders or an even choice."""
    border_rows: npt.NDArray[np.int64]
    """Row number of the file behind each border."""
    repeats: npt.NDArray[np.int64]
    """Rows whose name an earlier row has, ascending."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is in a source."""

    shards: int
    """Tars, and one for the loose files if there are any."""
    files: int
    """What readers will meet: images, damage and other files, without sidecars."""
    bytes: int
    """On disk."""
    exact: bool
    """Whether `files` was counted; else it is estimated from bytes."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was found in each tar, in order."""

    indexes: list[TarIndex | None]
    """None where the tar was not walked."""
    rows: list[int]
    """Files in it, counted or estimated."""


def count_images(source: Source) -> Extent:
    """How many files a source has: exactly or, for compressed and very large tars, about.

    Raises:
        SourceError: a tar is gone, or cannot be read.
    """
    found = inventory(source)
    loose = source.files.seen
    shards = len(found.rows) + (loose > 0)
    return Extent(shards, loose + sum(found.rows), source.bytes, None not in found.indexes)


@lru_cache(maxsize=1)
def inventory(source: Source) -> Inventory:
    """Look into the tars of a source, once for all who ask about the same Source object. Raises SourceError."""
    walk = sum(shard.bytes for shard in source.shards if not shard.compressed) <= WALK_BYTES
    mean: dict[bool, float] = {}
    found = Inventory([], [])
    for shard in source.shards:
        index = index_tar(source.root, shard) if walk else None
        if index is None and shard.compressed not in mean:
            mean[shard.compressed] = _mean_bytes(source.root, shard)
        found.indexes.append(index)
        found.rows.append(index.rows if index else max(1, round(shard.bytes / mean[shard.compressed])))
    return found


def index_tar(root: str, shard: Shard) -> TarIndex | None:
    """Walk over a tar's headers, without its data; None for a compressed one. Raises SourceError."""
    if shard.compressed:
        return None
    with _open(root, shard, BLOCK) as stream:
        return None if isinstance(stream, GzipStream) else _index(Walk(stream))


@contextmanager
def _open(root: str, shard: Shard, window: int = READ_BYTES) -> Iterator[Stream]:
    """A plan is made once, by the driver: what the storage does to it is for the user to see."""
    try:
        with open_stream(root, shard.path, window=window) as stream:
            yield stream
    except OSError as error:
        raise SourceError(f"{shard.path} under {root} cannot be read: {error.strerror}") from error


def _index(walk: Walk) -> TarIndex:
    borders = _Borders()
    hashes = array("q")
    damaged: list[int] = []
    run, shared = "", False  # the key of the groups at hand, and whether they have a <key>.json by now
    rows = 0
    for key, group in groups(walk, _look_only):
        run, shared = key, shared and key == run
        if not shared and walk.splittable and group[0].kind != "damage":
            borders.add(group[0].start, rows)
        files, sidecars = pair(key, group)
        shared = shared or any(member.stem == key for member in sidecars)
        for member, _ in files:
            if member.kind == "damage":
                damaged.append(len(hashes))
            hashes.append(hash(member.name))
        rows += len(files)
    return TarIndex(rows, *borders.arrays(), _repeats(hashes, damaged))


class _Borders:
    """Where a tar may be split; beyond a number every other one is dropped, so that memory is bounded."""

    def __init__(self) -> None:
        self._offsets, self._rows = array("q"), array("q")
        self._step, self._count = 1, 0

    def add(self, offset: int, row: int) -> None:
        if self._count % self._step == 0:
            self._offsets.append(offset)
            self._rows.append(row)
        self._count += 1
        if len(self._offsets) >= _MAX_BORDERS:
            self._offsets, self._rows = self._offsets[::2], self._rows[::2]
            self._step *= 2

    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return np.array(self._offsets, np.int64), np.array(self._rows, np.int64)


def _repeats(hashes: array[int], damaged: list[int]) -> npt.NDArray[np.int64]:
    """Rows whose hash an earlier row has; damage has no name to repeat."""
    rows = np.delete(np.arange(len(hashes)), damaged)
    _, first = np.unique(np.array(hashes, np.int64)[rows], return_index=True)
    return np.sort(np.delete(rows, first))


def _look_only(member: Member) -> None:
    """The plan reads no data."""


def _mean_bytes(root: str, shard: Shard) -> float:
    """Bytes on disk for each file, from the first files of a tar."""
    with _open(root, shard) as stream:
        files = 0
        for key, group in groups(Walk(stream), _look_only):
            files += len(pair(key, group)[0])
            if files >= _SAMPLE_FILES:
                break
        used = stream.taken if isinstance(stream, GzipStream) else stream.offset
    return max(1.0, used / max(1, files))
