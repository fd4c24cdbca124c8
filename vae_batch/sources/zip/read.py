"""Zips, read in place: counted and split by their directory, each member fetched from where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from vae_batch.sources.labels.sidecars import MAX_SIDECAR_BYTES, count_failure, parse_labels
from vae_batch.sources.shard import NO_OPTIONS, Shard, SourceOptions, Stretch
from vae_batch.sources.sniff import has_image_magic
from vae_batch.sources.streams import MAX_FILE_BYTES, open_shard, too_large
from vae_batch.sources.zip.directory import ENCRYPTED, IMAGE, LINK, REPEATED, ROW, Directory, Entry, directory_of
from vae_batch.sources.zip.member import MemberError, MemberReader
from vae_batch.sources.zip.unpack import NOT_READ, READ
from vae_batch.types import ImageRecord, Piece, Reject, Tally

Labels = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ZipIndex:
    """A zip after a look at its directory; a bit for each entry, so that the indexes of many zips fit in memory."""

    entries: int
    rows: int
    """Files that a reader will see."""
    row_bits: npt.NDArray[np.uint8]
    """Which entries they are, packed."""

    def split(self, shard: Shard, size: int) -> Iterator[Stretch]:
        """Cut into about equal pieces; the last one goes to the directory's end."""
        rows = np.flatnonzero(np.unpackbits(self.row_bits, count=self.entries))
        count = max(1, round(self.rows / size))
        cuts = [self.rows * i // count for i in range(count + 1)]
        for low, high in pairwise(cuts):
            start = int(rows[low]) if low else 0
            end = int(rows[high]) if high < self.rows else None
            nbytes = shard.bytes * high // self.rows - shard.bytes * low // self.rows
            yield Stretch(Piece(shard.path, "zip", low, start, end, shard_bytes=shard.bytes), high - low, nbytes)


def index_zip(root: str, shard: Shard, options: SourceOptions) -> ZipIndex:
    """Look at a zip's directory. Raises BrokenShardError, SourceError, OSError."""
    rows = directory_of(root, shard.path).is_row()
    return ZipIndex(len(rows), int(rows.sum()), np.packbits(rows))


def read_zip(
    root: str, piece: Piece, tally: Tally, options: SourceOptions = NO_OPTIONS
) -> Iterator[ImageRecord | Reject]:
    """Read one piece of a zip, in the order of its directory.

    Raises:
        BrokenShardError: it has no directory, or a broken one.
        SourceError: the zip is gone.
        OSError: the storage fails; the attempt can be made again.
    """
    directory = directory_of(root, piece.shard)
    tally.seen += int(directory.is_row(piece.start, piece.end).sum())
    with open_shard(root, piece.shard) as file:
        reader = MemberReader(file, directory.shift)
        sidecars = _Sidecars(directory, reader, tally)
        row = piece.first_row - 1
        for block in directory.blocks(piece.start, piece.end):
            for i, entry in enumerate(block):
                if not entry.marks & ROW:
                    continue
                row += 1
                reader.prepare(block, i)
                try:
                    data = _image(reader, entry)
                except _RefusedError as refused:
                    image_id = f"{piece.shard}/{entry.name}"
                    yield Reject(image_id, piece.shard, row, "read", refused.error, refused.message)
                    continue
                if data is None:
                    tally.skipped += 1
                    continue
                tally.bytes += len(data)
                yield ImageRecord(f"{piece.shard}/{entry.name}", piece.shard, row, data, sidecars.labels(entry))


def sample_zip(root: str, shard: Shard, options: SourceOptions) -> Iterator[Labels | None]:
    """Give the labels of the files from the first on; of damaged data nothing."""
    directory = directory_of(root, shard.path)
    with open_shard(root, shard.path) as file:
        sidecars = _Sidecars(directory, MemberReader(file, directory.shift), Tally())
        for block in directory.blocks():
            for entry in block:
                if entry.marks & ROW:
                    yield sidecars.labels(entry)


class _Sidecars:
    """Labels of entries; the last sidecar read is kept, since all images of a key may share one."""

    def __init__(self, directory: Directory, reader: MemberReader, tally: Tally) -> None:
        self._directory, self._reader, self._tally = directory, reader, tally
        self._last: tuple[int, Labels | None] = (-1, None)

    def labels(self, entry: Entry) -> Labels | None:
        """The labels of an entry; what cannot be had is counted. Raises OSError."""
        if entry.sidecar < 0:
            return None
        if entry.sidecar != self._last[0]:
            sidecar = self._directory.entry(entry.sidecar)
            data = self._read(sidecar)
            labels = parse_labels(data)
            if labels is None:
                count_failure(self._tally, data, max(sidecar.size, sidecar.packed))
            self._last = (entry.sidecar, labels)
        return self._last[1]

    def _read(self, entry: Entry) -> bytes | None:
        try:
            _check_readable(entry)
            return self._reader.data(entry) if max(entry.size, entry.packed) <= MAX_SIDECAR_BYTES else None
        except (_RefusedError, MemberError):
            return None


class _RefusedError(Exception):
    """A member becomes a reject."""

    def __init__(self, error: str, message: str) -> None:
        self.error, self.message = error, message


def _image(reader: MemberReader, entry: Entry) -> bytes | None:
    """The bytes of a member; None for one that is no image. Raises _RefusedError, OSError."""
    if entry.marks & LINK:
        if entry.marks & IMAGE:
            raise _RefusedError("LinkMember", "links in archives are not followed")
        return None
    _check_readable(entry)
    try:
        if not entry.marks & IMAGE and not has_image_magic(reader.head(entry)):
            return None
        if entry.marks & REPEATED:
            raise _RefusedError("DuplicateId", "an earlier member of the zip has this name")
        if max(entry.size, entry.packed) > MAX_FILE_BYTES:
            raise _RefusedError("TooLarge", too_large(max(entry.size, entry.packed)))
        return reader.data(entry)
    except MemberError as error:
        raise _RefusedError("ZipDamaged", f"the member {error}") from None


def _check_readable(entry: Entry) -> None:
    """Refuse what the directory says cannot be read."""
    if entry.marks & ENCRYPTED:
        raise _RefusedError("EncryptedMember", "the member is encrypted: pack the zip anew without a password")
    if entry.method not in READ:
        name = NOT_READ.get(entry.method, "unknown")
        raise _RefusedError(
            "UnsupportedMethod",
            f"the member is packed by method {entry.method} ({name}); read are those that are stored, deflated, or "
            "packed by bzip2 or LZMA: pack it anew",
        )
