"""A zip's central directory as columns: who is in it, where, and which JSON belongs to which image."""

from __future__ import annotations

import stat
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_batch.sources.files import File, status_of
from vae_batch.sources.member import Member, named
from vae_batch.sources.shard import BrokenShardError
from vae_batch.sources.streams import open_shard
from vae_batch.sources.zip.end import ENTRY, BrokenZipError, Place, find_directory
from vae_batch.sources.zip.names import extra_fields, member_text

ROW, IMAGE, JSON, LINK, ENCRYPTED, REPEATED = (1 << bit for bit in range(6))
"""Marks: a file that is no sidecar; named as an image; JSON; symbolic link; encrypted; its name was there before."""

LOCAL_HEADER_BYTES = 30
_MAX_LOCAL_HEADER = LOCAL_HEADER_BYTES + 2 * 0xFFFF
_WINDOW = 1 << 20
_BLOCK_ENTRIES = 1024
_SIGNATURE = b"PK\x05\x05"
_MAX = 1 << 60
"""Larger sizes and offsets are lies; this much can still be added up."""
_UNIX = 3
_WIDE = 0xFFFFFFFF
"""Stands for a number that does not fit into 32 bits."""
_NAMING = ["name", "extra", "flags", "host"]
_WIDENED = ["name", "extra", "size", "packed", "offset"]

_FIXED = np.dtype(
    "<u4,u1,u1,<u2,<u2,<u2,<u4,<u4,<u4,<u4,<u2,<u2,<u2,<u2,<u2,<u4,<u4",
)
_FIXED.names = (
    *("signature", "version", "host", "needed", "flags", "method", "time", "crc", "packed", "size"),
    *("name", "extra", "comment", "disk", "internal", "attributes", "offset"),
)
_COLUMNS = np.dtype(
    [
        *(("offset", "<i8"), ("end", "<i8"), ("packed", "<i8"), ("size", "<i8")),
        *(("crc", "<u4"), ("sidecar", "<i4"), ("method", "<u2"), ("marks", "<u2")),
    ]
)


class Entry(NamedTuple):
    """One entry of a directory."""

    name: str
    offset: int
    """Of its local header in the file; not to be trusted."""
    end: int
    """Where, at the latest, the next member begins."""
    packed: int
    """Bytes of its data in the zip, as stated."""
    size: int
    """Bytes of its data unpacked, as stated."""
    crc: int
    sidecar: int
    """Entry number of its sidecar; -1 where it has none."""
    method: int
    """0 stored, 8 deflated; others are not read."""
    marks: int


@dataclass(frozen=True, eq=False, slots=True)
class Directory:
    """A zip's entries, in the order of the directory: about 45 bytes and a name for each."""

    columns: npt.NDArray[np.void]
    names: pa.ChunkedArray
    shift: int
    """What was added to the stated offsets."""

    def __len__(self) -> int:
        return len(self.columns)

    def is_row(self, start: int = 0, end: int | None = None) -> npt.NDArray[np.bool_]:
        """Which entries are seen by a reader: files that are no sidecars."""
        return (self.columns["marks"][start:end] & ROW).astype(bool)

    def entry(self, number: int) -> Entry:
        """The entry of a number."""
        return next(self.blocks(number, number + 1))[0]

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[list[Entry]]:
        """Entries in order, a bounded number of them as Python objects at a time."""
        stop = len(self) if end is None else end
        for at in range(start, stop, _BLOCK_ENTRIES):
            upto = min(at + _BLOCK_ENTRIES, stop)
            names = self.names[at:upto].to_pylist()
            yield [Entry(name, *rest) for name, rest in zip(names, self.columns[at:upto].tolist(), strict=True)]


def directory_of(root: str, path: str) -> Directory:
    """The directory of a zip, read once by each process as long as the file stays as it is.

    Raises:
        BrokenShardError: it has none, or a broken one.
        SourceError: the zip is gone.
        OSError: the storage fails.
    """
    status = status_of(root, path)
    return _cached(root, path, status.size, status.modified)


@lru_cache(maxsize=2)
def _cached(root: str, path: str, size: int, modified: int) -> Directory:
    with open_shard(root, path) as file:
        try:
            place = find_directory(file)
            return _Reader(file, place).directory()
        except BrokenZipError as error:
            raise BrokenShardError(
                path,
                "ZipDamaged",
                f"{error}; nothing in it can be read: get it again, or try to repair it with `zip -FF`",
            ) from error


@dataclass(slots=True)
class _Reader:
    """Gathers the columns of a directory, a window of entries at a time."""

    file: File
    place: Place
    tables: list[npt.NDArray[np.void]] = field(default_factory=list)
    names: list[pa.Array] = field(default_factory=list)
    stems: array[int] = field(default_factory=lambda: array("q"))
    """Hashes of the names without their last extension, of all entries."""
    keys: array[int] = field(default_factory=lambda: array("q"))
    """Hashes of the WebDataset keys."""
    hashes: array[int] = field(default_factory=lambda: array("q"))

    def directory(self) -> Directory:
        """Read it all. Raises BrokenZipError, OSError."""
        for data, starts in _windows(self.file, self.place):
            self._take(data, starts)
        columns = np.concatenate([np.zeros(0, _COLUMNS), *self.tables])
        if len(columns) % self.place.modulus != self.place.count:
            raise BrokenZipError(f"has {len(columns):,} entries in its directory but states {self.place.count:,}")
        _set_ends(columns, self.place.start)
        stems, keys, hashes = (np.array(x, np.int64) for x in (self.stems, self.keys, self.hashes))
        _pair(columns, stems, keys)
        rows = np.flatnonzero(columns["marks"] & ROW)
        first = np.unique(hashes[rows], return_index=True)[1]
        columns["marks"][np.delete(rows, first)] |= REPEATED
        return Directory(columns, pa.chunked_array(self.names, pa.large_string()), self.place.shift)

    def _take(self, data: bytes, starts: list[int]) -> None:
        """The columns of the entries in a window."""
        at = np.array(starts)[:, None] + np.arange(_FIXED.itemsize)
        fixed = np.frombuffer(data, np.uint8)[at].view(_FIXED)[:, 0]
        table = np.zeros(len(fixed), _COLUMNS)
        for name in ("packed", "size", "crc", "method"):
            table[name] = fixed[name]
        table["offset"] = fixed["offset"].astype(np.int64) + self.place.shift
        wide = np.flatnonzero((fixed["packed"] == _WIDE) | (fixed["size"] == _WIDE) | (fixed["offset"] == _WIDE))
        for i, (name, length, *values) in zip(wide.tolist(), fixed[wide][_WIDENED].tolist(), strict=True):
            behind = starts[i] + _FIXED.itemsize + name
            values = _widen(values, data[behind : behind + length])
            table["size"][i], table["packed"][i], table["offset"][i] = values
            table["offset"][i] += self.place.shift
        table["marks"] = self._marks(data, starts, fixed)
        self.tables.append(table)

    def _marks(self, data: bytes, starts: list[int], fixed: npt.NDArray[np.void]) -> npt.NDArray[np.uint16]:
        """What names, flags and attributes tell; the names are kept."""
        link = (fixed["host"] == _UNIX) & (fixed["attributes"] >> 28 == stat.S_IFLNK >> 12)
        names = []
        for at, (length, more, flags, host) in zip(starts, fixed[_NAMING].tolist(), strict=True):
            behind = at + _FIXED.itemsize + length
            names.append(member_text(data[behind - length : behind], data[behind : behind + more], flags, host))
        known = [named(name, 0, "file", 0) for name in names]
        self.names.append(pa.array(names, pa.large_string()))
        self.hashes.extend(map(hash, names))
        self.stems.extend([hash(member.stem) for member in known])
        self.keys.extend([hash(member.key) for member in known])
        marks: npt.NDArray[np.uint16] = np.array([_mark(member) for member in known], np.uint16)
        marks[link] |= LINK
        marks[fixed["flags"] & 1 > 0] |= ENCRYPTED
        return marks


def _mark(member: Member) -> int:
    """What a name tells."""
    if member.name.endswith("/"):
        return 0
    image = member.is_image and not member.name.startswith("__MACOSX/")
    return ROW | IMAGE * image | JSON * member.is_json


def _windows(file: File, place: Place) -> Iterator[tuple[bytes, list[int]]]:
    """Whole entries, up to a mebibyte of them at a time: the bytes, and where in them each entry begins."""
    at, stop = place.start, place.start + place.size
    while at < stop:
        data = file.pread(min(_WINDOW, stop - at), at)
        starts: list[int] = []
        here = 0
        while data.startswith(ENTRY, here) and here + _FIXED.itemsize <= len(data):
            behind = here + _FIXED.itemsize + sum(struct.unpack_from("<3H", data, here + 28))
            if behind > len(data):
                break
            starts.append(here)
            here = behind
        if not starts:
            if data.startswith(_SIGNATURE):
                return
            raise BrokenZipError(f"has a broken directory: byte {at:,} is not where an entry begins")
        yield data, starts
        at += here


def _widen(values: list[int], extra: bytes) -> list[int]:
    """Size, packed size and offset of an entry; those that did not fit come from an extra field (APPNOTE 4.5.3)."""
    wide = next((data for kind, data in extra_fields(extra) if kind == 1), b"")
    given = iter(struct.unpack_from(f"<{len(wide) // 8}Q", wide))
    return [min(next(given, value), _MAX) if value == _WIDE else value for value in values]


def _set_ends(columns: npt.NDArray[np.void], directory: int) -> None:
    """Where the member behind each one on disk begins; the directory behind the last; but no later than it can end."""
    offsets = columns["offset"]
    borders = np.append(np.sort(offsets[offsets < directory]), directory)
    following = borders[np.minimum(np.searchsorted(borders, offsets, side="right"), len(borders) - 1)]
    columns["end"] = np.minimum(following, offsets + columns["packed"] + _MAX_LOCAL_HEADER)


def _pair(columns: npt.NDArray[np.void], stems: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]) -> None:
    """Give images their sidecars by the rules of `groups.pair`, wherever in the zip they are."""
    marks = columns["marks"]
    columns["sidecar"] = -1
    images, jsons = np.flatnonzero(marks & IMAGE), np.flatnonzero(marks & JSON)
    if not len(jsons) or not len(images):
        return
    known, first = np.unique(stems[jsons], return_index=True)
    for wanted in (keys[images], stems[images]):  # the one of its own name last, so that it is preferred
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        hit = known[at] == wanted
        columns["sidecar"][images[hit]] = jsons[first[at[hit]]]
        served = np.isin(stems[jsons], wanted)
        marks[jsons[served]] &= ~np.uint16(ROW)
