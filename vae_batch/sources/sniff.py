"""Is this file an image? By its name, else by its first bytes; the pixels are not looked at.

Both tables are ours and not the installed Pillow's, so that what counts as skipped does not move with a library.
"""

from __future__ import annotations

HEAD_BYTES = 32
"""How many first bytes `has_image_magic` wants to see."""

# What Pillow registers, less what is no image (PDF, MPEG, HDF5 ...), what runs a program (EPS) and what Pillow
# only knows the name of; HEIC and JPEG XL are images that Pillow lacks: better a reject than a silent skip.
IMAGE_EXTENSIONS = frozenset(
    [
        "apng",
        "avif",
        "avifs",
        "blp",
        "bmp",
        "bw",
        "cur",
        "dcx",
        "dds",
        "dib",
        "fit",
        "fits",
        "flc",
        "fli",
        "ftc",
        "ftu",
        "gbr",
        "gif",
        "heic",
        "heif",
        "icb",
        "icns",
        "ico",
        "im",
        "j2c",
        "j2k",
        "jfif",
        "jp2",
        "jpc",
        "jpe",
        "jpeg",
        "jpf",
        "jpg",
        "jpx",
        "jxl",
        "mpo",
        "msp",
        "pbm",
        "pcd",
        "pcx",
        "pfm",
        "pgm",
        "png",
        "pnm",
        "ppm",
        "psd",
        "pxr",
        "qoi",
        "ras",
        "rgb",
        "rgba",
        "sgi",
        "tga",
        "tif",
        "tiff",
        "vda",
        "vst",
        "webp",
        "xbm",
        "xpm",
    ]
)

_PREFIXES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF
    b"MM\0*",
    b"II+\0",  # BigTIFF
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cJXL \r\n\x87\n",
    b"8BPS\0\x01",
    b"qoif",
    b"DDS \x7c\0\0\0",
    b"BLP1",
    b"BLP2",
    b"SIMPLE  =",  # FITS
    b"\x59\xa6\x6a\x95",  # Sun raster
    b"/* XPM */",
)
_NETPBM_KINDS = frozenset(b"123456fF"[i : i + 1] for i in range(8))
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def has_image_extension(name: str) -> bool:
    """Whether the last extension of a path is that of an image; "._x.jpg" is metadata that macOS leaves behind."""
    stem, _, extension = name.rpartition(".")
    if extension.lower() not in IMAGE_EXTENSIONS:
        return False
    base = stem.rpartition("/")[2]
    return base != "" and not base.startswith("._")


def has_image_magic(head: bytes) -> bool:
    """Whether a file that begins with `head` (up to HEAD_BYTES bytes) is an image of a known format."""
    if head.startswith(_PREFIXES):
        return True
    if head[:2] == b"BM":
        return head[6:10] == b"\0\0\0\0"
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    if head[:1] == b"P":
        return _is_netpbm(head)
    if head[:2] == b"\x01\xda":  # SGI: storage 0 or 1, then 1 or 2 bytes a channel
        return head[2:3] in (b"\0", b"\x01") and head[3:4] in (b"\x01", b"\x02")
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS


def _is_netpbm(head: bytes) -> bool:
    """Magic P1..P6, Pf or PF, white space, then a number or a comment."""
    after = head[2:].lstrip()[:1]
    return head[1:2] in _NETPBM_KINDS and head[2:3].isspace() and (after.isdigit() or after == b"#")
