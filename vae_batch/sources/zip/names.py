"""Names in a zip's directory: bytes of one of several encodings to the text that a member is known by."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from vae_batch.sources.names import to_text

UTF8_FLAG = 1 << 11
UNICODE_PATH = 0x7075
_UNIX_HOSTS = frozenset([3, 19])


def member_text(raw: bytes, extra: bytes, flags: int, host: int) -> str:
    """A member's path: POSIX, relative, UTF-8 where it says so, else as its maker would have written it.

    UTF-8 by flag bit 11 or by the Unicode path field; without either, what a Unix system (macOS among them) wrote
    and reads as UTF-8 is that, and all else is code page 437, as APPNOTE 4.4 and its appendix D have it.

    Args:
        raw: the name field.
        extra: the extra fields.
        flags: general purpose bits.
        host: system that made the entry, the upper byte of "version made by".
    """
    text = _decode(raw, extra, flags, host)
    if "\\" in text:
        text = text.replace("\\", "/")
    while text.startswith(("/", "./")) and text not in ("/", "./"):  # those are folders
        text = text[text.index("/") + 1 :]
    return text


def _decode(raw: bytes, extra: bytes, flags: int, host: int) -> str:
    if flags & UTF8_FLAG or raw.isascii():
        return to_text(raw)
    for kind, data in extra_fields(extra):
        if kind == UNICODE_PATH and data[:1] == b"\x01" and data[1:5] == struct.pack("<L", zlib.crc32(raw)):
            return to_text(data[5:])
    if host in _UNIX_HOSTS:
        try:
            return raw.decode().replace("\0", "%00")
        except UnicodeDecodeError:
            pass
    return raw.decode("cp437").replace("\0", "%00")


def extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """The extra fields of an entry: their numbers and data; ends at one that does not fit."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if at + 4 + size > len(extra):
            return
        yield kind, extra[at + 4 : at + 4 + size]
        at += 4 + size
