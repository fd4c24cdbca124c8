"""The end of a zip: the records that say where its directory is, in both sizes (PKWARE's APPNOTE 6.3, 4.3.14 to 16)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vae_batch.sources.files import File
from vae_batch.types import LFS_POINTER

ENTRY = b"PK\x01\x02"
"""What each entry of a directory begins with."""
LOCAL = b"PK\x03\x04"
"""What each member's own header begins with."""
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_RECORD = struct.Struct("<4s4H2LH")
_END64_RECORD = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_RECORD = struct.Struct("<4sLQL")
_MAX_COMMENT = 0xFFFF


class BrokenZipError(Exception):
    """What is wrong with a zip's directory, or with its end record."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a zip's directory is."""

    start: int
    """Offset of its first entry in the file."""
    size: int
    """Bytes."""
    count: int
    """Entries, as stated; of a zip without the 64-bit record only the last 16 bits."""
    modulus: int
    """What `count` is a remainder of."""
    shift: int
    """To be added to every stated offset: bytes that were put before the archive, such as a program that unpacks it."""


def find_directory(file: File) -> Place:
    """Find a zip's directory from the file's end; bytes behind the archive (as many as a comment) are passed over.

    Raises:
        BrokenZipError: there is none where the end record says, or no such record, or it is one volume of several.
        OSError: the storage fails.
    """
    problem: BrokenZipError | None = None
    for at in _end_records(file):
        try:
            place = _place(file, at)
        except BrokenZipError as error:
            problem = problem or error
            continue
        if place.shift > 0 and file.pread(len(LOCAL), 0) == LOCAL == file.pread(len(LOCAL), place.shift):
            raise BrokenZipError(
                f"begins with {place.shift:,} bytes of another archive, which its directory does not name: it has "
                "been cut, or two were joined"
            )
        return place
    raise problem or BrokenZipError(_instead(file))


def _end_records(file: File) -> Iterator[int]:
    """Offsets of what may be the end record, from the last on."""
    base = max(0, file.size - _END_RECORD.size - _MAX_COMMENT)
    tail = file.pread(file.size - base, base)
    at = tail.rfind(_END)
    while at >= 0:
        if at + _END_RECORD.size <= len(tail):
            yield base + at
        at = tail.rfind(_END, 0, at + len(_END) - 1)


def _place(file: File, at: int) -> Place:
    """What the end record at an offset says, or the 64-bit one that belongs to it."""
    _, disk, first_disk, here, count, size, offset, _ = _END_RECORD.unpack(file.pread(_END_RECORD.size, at))
    behind, modulus = at, 1 << 16
    large = _large_record(file, at)
    if large is not None:
        behind, modulus = large, 1 << 64
        record = _END64_RECORD.unpack(file.pread(_END64_RECORD.size, large))
        disk, first_disk, here, count, size, offset = record[4:]
    if disk or first_disk or here != count:
        raise BrokenZipError("is one of several volumes: join them with `zip -s 0 NAME.zip --out whole.zip`")
    for start in (behind - size, offset):
        if 0 <= start <= behind - size and (behind == 0 or file.pread(len(ENTRY), start) == ENTRY):
            return Place(start, size, count, modulus, start - offset if offset <= file.size else 0)
    raise BrokenZipError(f"has no directory at byte {offset:,}, where its end record says")


def _large_record(file: File, at: int) -> int | None:
    """Offset of the 64-bit end record before the end record at `at`; None where there is none."""
    before = at - _LOCATOR_RECORD.size
    locator = file.pread(_LOCATOR_RECORD.size, before) if before >= 0 else b""
    if not locator.startswith(_LOCATOR):
        return None
    stated = _LOCATOR_RECORD.unpack(locator)[2]
    for offset in (before - _END64_RECORD.size, stated):
        if 0 <= offset <= before - _END64_RECORD.size and file.pread(len(_END64), offset) == _END64:
            return int(offset)
    raise BrokenZipError("has lost the 64-bit record at its end")


def _instead(file: File) -> str:
    """What a file without an end record may be."""
    head = file.pread(256, 0).lstrip().lower()
    if not head:
        return "is empty, which no zip is"
    if head.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, perhaps one that says why the download was refused"
    if head.startswith(LFS_POINTER):
        return "is a pointer of git-lfs: fetch the file with `git lfs pull`"
    if head.startswith(LOCAL.lower()):
        return "has no directory at its end, so it has been cut or is one of several volumes"
    return "is no zip: there is no directory at its end"
