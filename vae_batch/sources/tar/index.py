"""A tar for the plan: its files counted over the headers, and the places where it may be split."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_batch import storage
from vae_batch.sources.cuts import Borders
from vae_batch.sources.member import Member
from vae_batch.sources.names import is_compressed
from vae_batch.sources.shard import Shard, SourceOptions, Stretch
from vae_batch.sources.streams import GzipStream, open_stream
from vae_batch.sources.tar.groups import groups, pair
from vae_batch.sources.tar.header import BLOCK
from vae_batch.sources.tar.walk import Walk
from vae_batch.types import Piece

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

    def split(self, shard: Shard, size: int) -> Iterator[Stretch]:
        """Cut into about equal pieces at group borders; the last one goes to the file's end."""
        count = max(1, round(self.rows / size))
        wanted = [self.rows * i // count for i in range(1, count)]
        cuts = np.unique(np.searchsorted(self.border_rows, wanted))
        cuts = cuts[(cuts > 0) & (cuts < len(self.border_rows))]
        starts = [0, *self.border_offsets[cuts].tolist()]
        rows = [0, *self.border_rows[cuts].tolist(), self.rows]
        ends = [*starts[1:], None]
        for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
            inside = (self.repeats >= rows[i]) & (self.repeats < rows[i + 1])
            repeats = tuple(self.repeats[inside].tolist()) if len(cuts) else ()
            piece = Piece(shard.path, "tar", rows[i], start, end, repeats=repeats, shard_bytes=shard.bytes)
            yield Stretch(piece, rows[i + 1] - rows[i], (shard.bytes if end is None else end) - start)


def index_tar(root: str, shard: Shard, options: SourceOptions) -> TarIndex | None:
    """Walk over a tar's headers, without its data; None for a compressed one, and for one that is not here."""
    if is_compressed(shard.path) or storage.is_remote(root):
        return None
    with open_stream(root, shard.path, window=BLOCK) as stream:
        return None if isinstance(stream, GzipStream) else _index(Walk(stream))


def mean_bytes(root: str, shard: Shard) -> float:
    """Bytes on disk for each file, from the first files of a tar."""
    with open_stream(root, shard.path) as stream:
        files = 0
        for key, group in groups(Walk(stream), _look_only):
            files += len(pair(key, group)[0])
            if files >= _SAMPLE_FILES:
                break
        used = stream.taken if isinstance(stream, GzipStream) else stream.offset
    return max(1.0, used / max(1, files))


def _index(walk: Walk) -> TarIndex:
    borders = Borders()
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


def _repeats(hashes: array[int], damaged: list[int]) -> npt.NDArray[np.int64]:
    """Rows whose hash an earlier row has; damage has no name to repeat."""
    rows = np.delete(np.arange(len(hashes)), damaged)
    _, first = np.unique(np.array(hashes, np.int64)[rows], return_index=True)
    return np.sort(np.delete(rows, first))


def _look_only(member: Member) -> None:
    """The plan reads no data."""
