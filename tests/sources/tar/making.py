"""Tars made by hand, for tests: headers as each format has them, and by the standard library."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from tests.sources.making import JPEG

END = bytes(1024)


def header(
    name: bytes,
    size: int = 0,
    flag: bytes = b"0",
    magic: bytes = b"ustar\x0000",
    size_field: bytes | None = None,
    prefix: bytes = b"",
    signed: bool = False,
) -> bytes:
    """One header block with a right checksum."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:124] = b"0000644\x000000000\x000000000\x00"
    block[124:136] = size_field or b"%011o\x00" % size
    block[136:148] = b"00000000000\x00"
    block[148:156] = b" " * 8
    block[156:157] = flag
    block[257:265] = magic
    block[345 : 345 + len(prefix)] = prefix
    total = sum(b - 256 if signed and b > 127 else b for b in block)
    block[148:156] = b"%06o\x00 " % total
    return bytes(block)


def member(name: bytes, data: bytes = JPEG, **kwargs: object) -> bytes:
    """A header with its data, padded."""
    return header(name, len(data), **kwargs) + data + bytes(-len(data) % 512)  # type: ignore[arg-type]


def pax(records: dict[str, str | bytes], flag: bytes = b"x") -> bytes:
    """An extended header of pax."""
    body = b""
    for key, value in records.items():
        raw = value if isinstance(value, bytes) else value.encode()
        tail = b" " + key.encode() + b"=" + raw + b"\n"
        length = len(tail) + 1
        while len(str(length)) + len(tail) != length:
            length = len(str(length)) + len(tail)
        body += str(length).encode() + tail
    return member(b"PaxHeader", body, flag=flag)


def pairs(count: int, **labels: object) -> bytes:
    """WebDataset pairs, without an end of archive."""
    out = b""
    for i in range(count):
        out += member(b"%06d.jpg" % i, JPEG + b"%d" % i)
        out += member(b"%06d.json" % i, json.dumps({"index": i, **labels}).encode())
    return out


def with_tarfile(path: Path, files: list[tuple[str, bytes]], mode: str = "w", **kwargs: object) -> None:
    """A tar made by the standard library."""
    with tarfile.open(path, mode, **kwargs) as tar:  # type: ignore[call-overload]
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
