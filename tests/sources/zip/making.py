"""Zips made by hand, for tests: what `zipfile` would not write."""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.sources.making import JPEG

LOCAL, ENTRY, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@dataclass
class Made:
    """A member as it will be written; None: what is right."""

    name: bytes = b"a.jpg"
    data: bytes = JPEG
    method: int = 0
    flags: int = 0
    host: int = 3
    mode: int = 0o100644
    extra: bytes = b""
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    offset: int | None = None
    local: bytes = LOCAL
    raw: bytes | None = field(default=None)
    """Its bytes in the zip."""

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.method == 8:
            deflater = zlib.compressobj(wbits=-15)
            return deflater.compress(self.data) + deflater.flush()
        if self.method == 12:
            return bz2.compress(self.data)
        return lzma_body(self.data) if self.method == 14 else self.data


def lzma_body(data: bytes, dictionary: int = 1 << 16) -> bytes:
    """Data as zips pack it by LZMA: a version, the length of the properties, the properties, the stream."""
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}]
    header = struct.pack("<BBHBL", 9, 4, 5, 3 + 2 * 45, dictionary)
    return header + lzma.compress(data, lzma.FORMAT_RAW, filters=filters)


def make(
    members: Iterable[Made], before: bytes = b"", behind: bytes = b"", zip64: bool = False, disks: int = 0
) -> bytes:
    """The bytes of a zip."""
    files, directory = bytearray(), bytearray()
    count = 0
    for m in members:
        body = m.body()
        sizes = (
            zlib.crc32(m.data) if m.crc is None else m.crc,
            len(body) if m.packed is None else m.packed,
            len(m.data) if m.size is None else m.size,
        )
        offset = len(files) if m.offset is None else m.offset
        extra = m.extra
        if zip64:
            extra += struct.pack("<HHQQQ", 1, 24, sizes[2], sizes[1], offset)
            sizes, offset = (sizes[0], 0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF
        common = struct.pack("<HHHHH", 20, m.flags, m.method, 0, 0x21)
        local = m.local + common + struct.pack("<3L2H", *sizes, len(m.name), len(m.extra)) + m.name + m.extra
        files += local + body
        tail = struct.pack("<3L5HLL", *sizes, len(m.name), len(extra), 0, 0, 0, m.mode << 16, offset)
        directory += ENTRY + bytes([20, m.host]) + common + tail + m.name + extra
        count += 1
    end = b""
    at, numbers = len(files), (count & 0xFFFF, count & 0xFFFF, len(directory), len(files))
    if zip64:
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, disks, disks, count, count, len(directory), at)
        end = record + struct.pack("<4sLQL", b"PK\x06\x07", 0, at + len(directory), 1)
        numbers = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    end += struct.pack("<4s4H2LH", END, disks, disks, *numbers, 0)
    return bytes(before + files + directory + end + behind)


def with_zipfile(path: Path, files: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> None:
    """A zip made by the standard library."""
    with zipfile.ZipFile(path, "w", method) as out:
        for name, data in files:
            out.writestr(name, data)
