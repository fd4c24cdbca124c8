"""The blocks of a tar's headers: checksum, numbers, names and pax records, in v7, ustar, GNU and pax formats.

See POSIX.1-2017, pax(1), and the GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import zlib

BLOCK = 512


class DamageError(Exception):
    """A header that cannot be understood; the text says why."""


def check_header(block: bytes) -> int:
    """Verify a header's checksum, and return the size it gives.

    Raises:
        DamageError: the checksum is wrong, or a number cannot be read.
    """
    stated = _number(block[148:156])
    # adler32's low half is 1 + the sum of the bytes modulo 65,521: the unsigned checksum, for a tenth of the time
    total = (zlib.adler32(block) & 0xFFFF) - (zlib.adler32(block[148:156]) & 0xFFFF) + 256
    if (total - stated) % 65521 and _signed_sum(block) != stated:
        raise DamageError("its checksum is wrong")
    return _number(block[124:136])


def is_header(block: bytes) -> bool:
    """Whether a block is surely a header: its magic, checksum and numbers are right."""
    try:
        return block[257:262] == b"ustar" and check_header(block) >= 0
    except DamageError:
        return False


def _signed_sum(block: bytes) -> int:
    """The checksum as some old tars made it, with signed characters."""
    return sum(b - 256 if b > 127 else b for b in block[:148] + block[156:]) + 256


def _number(raw: bytes) -> int:
    """A number field: octal text, or base-256 where the first bit is set."""
    digits = raw.strip(b" \0")
    if not digits.isdigit():
        if raw[0] == 0x80:
            return int.from_bytes(raw[1:], "big")
        digits = raw.partition(b"\0")[0].strip(b" ") or b"0"
    try:
        return int(digits, 8)
    except ValueError:
        raise DamageError(f"{raw!r} is no number") from None


def decimal(raw: bytes) -> int:
    """The size in a pax record. Raises DamageError."""
    if raw.isdigit() and len(raw) < 20:
        return int(raw)
    raise DamageError(f"{raw[:40]!r} is no size")


def member_name(block: bytes) -> bytes:
    """The name field; in ustar, but not in GNU's own format, with the prefix field before it."""
    name = block[:100].partition(b"\0")[0]
    if block[345] and block[257:262] == b"ustar" and block[262:263] != b" ":
        return block[345:500].partition(b"\0")[0] + b"/" + name
    return name


def relative(name: bytes) -> bytes:
    """A name without the "./" or "/" that it may begin with."""
    while name.startswith((b"./", b"/")):
        name = name[name.index(b"/") + 1 :]
    return name


def pax_records(data: bytes) -> dict[str, bytes]:
    """The records "length key=value" that matter here: path, size, and those that mark a sparse member.

    Raises:
        DamageError: the records do not fit together.
    """
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        digits, space, _ = data[at : at + 20].partition(b" ")
        stop = at + int(digits) if space and digits.isdigit() else 0
        key, equals, value = data[at + len(digits) + 1 : stop].partition(b"=")
        if stop > len(data) or not equals or not value.endswith(b"\n"):
            raise DamageError("a broken pax header")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse."):
            found[key.decode(errors="replace")] = value[:-1]
        at = stop
    return found
