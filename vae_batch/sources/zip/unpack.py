"""Unpacking a zip's members by their method, into a bounded number of bytes."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
READ = (STORED, DEFLATED, BZIP2, LZMA)
NOT_READ = {6: "implode", 9: "Deflate64", 93: "Zstandard", 95: "xz", 98: "PPMd"}
"""Names of methods that are not read."""


class PackedError(Exception):
    """Data that cannot be unpacked."""


def head_bytes(method: int) -> int:
    """Packed bytes that surely give the first few of what is packed: bzip2 gives none before a block is whole."""
    return 1 << 20 if method == BZIP2 else 1024


def unpack(method: int, packed: bytes, size: int) -> tuple[bytes, bool]:
    """Unpack up to `size` bytes and, where there is more, one more.

    Memory beside the result: bzip2 takes 4 MB, LZMA no more than the size.

    Returns:
        The bytes, and whether the packed data came to its end.

    Raises:
        PackedError: the data is damaged.
    """
    try:
        if method == STORED:
            return packed[: size + 1], True
        if method == DEFLATED:
            inflater = zlib.decompressobj(wbits=-15)
            return inflater.decompress(packed, size + 1), inflater.eof
        if method == BZIP2:
            bunzip = bz2.BZ2Decompressor()
            return bunzip.decompress(packed, size + 1), bunzip.eof
        data = _unlzma(packed, size)
        return data, len(data) == size
    except (zlib.error, lzma.LZMAError, OSError, ValueError, struct.error) as error:
        raise PackedError(str(error)) from None


def _unlzma(packed: bytes, size: int) -> bytes:
    """LZMA as zips have it (APPNOTE 5.8): version, length of the properties, properties; an end mark or none.

    A dictionary never needs to be larger than what it is for, whatever the properties say.
    """
    (length,) = struct.unpack_from("<H", packed, 2)
    if length != 5:
        raise ValueError(f"LZMA properties of {length} bytes")
    coder, dictionary = struct.unpack_from("<BL", packed, 4)
    filters = [
        {
            "id": lzma.FILTER_LZMA1,
            "lc": coder % 9,
            "lp": coder // 9 % 5,
            "pb": coder // 45,
            "dict_size": min(max(dictionary, 4096), max(size, 4096)),
        }
    ]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(packed[9:], size)
