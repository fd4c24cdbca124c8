"""The data of a zip's members: read where it lies, unpacked and checked; nothing that a member states is believed."""

from __future__ import annotations

import struct
import zlib

from vae_batch.sources.files import File
from vae_batch.sources.sniff import HEAD_BYTES
from vae_batch.sources.zip.directory import LOCAL_HEADER_BYTES, Entry
from vae_batch.sources.zip.end import LOCAL
from vae_batch.sources.zip.unpack import STORED, PackedError, head_bytes, unpack

_WINDOW = 4 << 20
_GAP = 1 << 16


class MemberError(Exception):
    """Why a member cannot be read."""


class MemberReader:
    """Reads members of one zip; those that follow each other on disk in pieces of up to four mebibytes.

    Args:
        file: the zip.
        shift: of its directory.
    """

    def __init__(self, file: File, shift: int) -> None:
        self._file, self._shift = file, shift
        self._buffer, self._base = b"", 0

    def prepare(self, block: list[Entry], i: int) -> None:
        """Have a member at hand, with those of the block behind it that lie behind it on disk too.

        Raises OSError.
        """
        first = block[i]
        stop = first.end
        if first.offset < self._base or stop > self._base + len(self._buffer):
            if not 0 <= first.offset < stop <= first.offset + _WINDOW:
                return
            for entry in block[i + 1 :]:
                if not stop <= entry.offset <= stop + _GAP or entry.end > first.offset + _WINDOW:
                    break
                stop = entry.end
            self._buffer, self._base = self._file.pread(stop - first.offset, first.offset), first.offset

    def head(self, entry: Entry) -> bytes:
        """The first HEAD_BYTES of a member. Raises MemberError, OSError."""
        packed = self._read(self._data_offset(entry), min(entry.packed, head_bytes(entry.method)))
        return _unpacked(entry, packed, HEAD_BYTES)[0][:HEAD_BYTES]

    def data(self, entry: Entry) -> bytes:
        """All of a member, of the stated size and checksum. Raises MemberError, OSError."""
        if entry.method == STORED and entry.size != entry.packed:
            raise MemberError(f"is stored, but states {entry.packed:,} bytes in the zip and {entry.size:,} outside")
        start = self._data_offset(entry)
        packed = self._read(start, entry.packed)
        if len(packed) < entry.packed:
            raise MemberError(f"is cut: the zip ends after {len(packed):,} of its {entry.packed:,} bytes")
        data, whole = _unpacked(entry, packed, entry.size)
        if not whole or len(data) != entry.size:
            more = "more than " if len(data) > entry.size else ""
            raise MemberError(f"has {more}{min(len(data), entry.size):,} bytes where {entry.size:,} are stated")
        if zlib.crc32(data) != entry.crc:
            raise MemberError("has another checksum (CRC-32) than is stated")
        return data

    def _data_offset(self, entry: Entry) -> int:
        """Where a member's data begins: behind its local header."""
        for offset in dict.fromkeys((entry.offset, entry.offset - self._shift)):
            header = self._read(offset, LOCAL_HEADER_BYTES) if 0 <= offset < self._file.size else b""
            if header.startswith(LOCAL) and len(header) == LOCAL_HEADER_BYTES:
                start: int = offset + LOCAL_HEADER_BYTES + sum(struct.unpack_from("<HH", header, 26))
                self._check_end(entry, offset, start + entry.packed)
                return start
        raise MemberError(f"has no header at byte {entry.offset:,}, where the directory says")

    def _check_end(self, entry: Entry, offset: int, behind: int) -> None:
        """Refuse data that runs into another member: a bomb made of the same bytes many times over."""
        if offset == entry.offset and behind > entry.end and self._read(entry.end, len(LOCAL)) == LOCAL:
            raise MemberError(f"reaches into the member at byte {entry.end:,}")

    def _read(self, at: int, n: int) -> bytes:
        low = at - self._base
        if low < 0 or low + n > len(self._buffer):
            return self._file.pread(n, at)
        return self._buffer[low : low + n]


def _unpacked(entry: Entry, packed: bytes, size: int) -> tuple[bytes, bool]:
    try:
        return unpack(entry.method, packed, size)
    except PackedError as error:
        raise MemberError(f"cannot be unpacked: {error}") from None
