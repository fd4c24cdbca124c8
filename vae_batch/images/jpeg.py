"""What a JPEG says of itself before its pixels, and whether it is plain enough for the fast decoder.

Segments: ITU-T T.81, Annex B. The Adobe segment: Adobe technical note 5116.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from PIL import Image

_SOI, _EOI, _SOS, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xE1, 0xEE
MAX_SCANS = 100
"""Of a progressive JPEG; those that encoders write have about ten. Each costs a pass over the whole picture."""

_PROGRESSIVE = frozenset([0xC2, 0xC6, 0xCA, 0xCE])
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that ends entropy-coded data
_PLAIN_FRAMES = frozenset([0xC0, 0xC1, 0xC2])  # baseline, extended sequential, progressive; Huffman coded
_OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ORIENTATION = 0x0112


@dataclass(slots=True)
class JpegInfo:
    """A JPEG's header."""

    width: int = 0
    height: int = 0
    orientation: int = 1
    """EXIF: 1 to 8."""
    exif: bytes = b""
    progressive: bool = False


def inspect(data: bytes) -> JpegInfo | None:
    """Look at a JPEG's segments up to its first scan.

    Returns:
        Its size and orientation if it is grey or YCbCr in 8 bits, the only kinds that the fast decoder gets right;
        None for all else, be it odd, damaged or no JPEG.
    """
    if data[:2] != b"\xff\xd8":
        return None
    info = JpegInfo()
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _SOS:
            return _with_orientation(info) if info.width and info.height else None
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = data[at + 2] << 8 | data[at + 3]
        if length < 2 or not _note(info, marker, data[at + 4 : at + 2 + length]):
            return None
        at += 2 + length
    return None


def _note(info: JpegInfo, marker: int, body: bytes) -> bool:
    """Take note of one segment; False if it makes the file one for Pillow."""
    if marker in _PLAIN_FRAMES:
        info.progressive = marker in _PROGRESSIVE
        return not info.width and _frame(info, body)
    if marker in _OTHER_FRAMES or marker == _EOI or marker <= 0x01 or 0xD0 <= marker <= _SOI:
        return False
    if marker == _APP14 and body[:5] == b"Adobe":
        return len(body) >= 12 and body[11] == 1  # YCbCr
    if marker == _APP1:
        if body[:6] == b"Exif\0\0":
            again, info.exif = bool(info.exif), body
            return not again
        return b"tiff:Orientation" not in body  # Pillow knows how to read XMP
    return True


def _frame(info: JpegInfo, body: bytes) -> bool:
    if len(body) < 6 or body[0] != 8:
        return False
    info.height, info.width = body[1] << 8 | body[2], body[3] << 8 | body[4]
    components = body[6::3]
    return body[5] == len(components) and len(components) in (1, 3) and components != b"RGB"


def _with_orientation(info: JpegInfo) -> JpegInfo:
    if info.exif:
        exif = Image.Exif()
        try:
            exif.load(info.exif)
            info.orientation = orientation_of(exif)
        except Exception:  # damaged metadata is no reason to lose the picture
            info.orientation = 1
    return info


def orientation_of(exif: Image.Exif) -> int:
    """The orientation tag, 1 to 8; 1 where it is missing or makes no sense."""
    value = exif.get(_ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def check_scans(data: bytes) -> None:
    """Refuse a progressive JPEG of so many scans that decoding it would take minutes or hours.

    Raises:
        Image.DecompressionBombError: there are more than MAX_SCANS.
    """
    if data[:2] != b"\xff\xd8":
        return
    at, scans, progressive = 2, 0, False
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _EOI:
            return
        progressive |= marker in _PROGRESSIVE
        at += 1 if marker == 0xFF else 2 + (data[at + 2] << 8 | data[at + 3])
        if marker == _SOS:
            if not progressive:
                return
            scans += 1
            if scans > MAX_SCANS:
                raise Image.DecompressionBombError(f"a progressive JPEG of more than {MAX_SCANS} scans")
            found = _IN_SCAN.search(data, at)
            at = found.start() if found else len(data)
