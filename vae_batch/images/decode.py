"""Bytes to RGB: plain JPEGs by the fast decoder, everything else, and every doubt, by Pillow."""

from __future__ import annotations

import io

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from vae_batch.images.errors import ImageError
from vae_batch.images.jpeg import check_scans, inspect, orientation_of
from vae_batch.images.modes import U8, to_rgb
from vae_batch.images.quiet import silence
from vae_batch.types import LFS_POINTER

MAX_PIXELS = 178_956_970
"""Pixels above which an image is refused from its header: where Pillow itself sees a decompression bomb."""

# EPS would run Ghostscript; the others are names without a decoder, or no images
_REFUSED = frozenset(["BUFR", "EPS", "FPX", "GRIB", "HDF5", "IPTC", "MIC", "MPEG", "WMF"])

Image.init()
FORMATS = sorted(set(Image.OPEN) - _REFUSED)
"""Formats that Pillow may try."""

silence()


def decode(data: bytes) -> U8:
    """Decode an image of any supported format.

    JPEGs of one or three components go through simplejpeg, whose pixels are those of Pillow; where it refuses,
    Pillow decides. EXIF orientation is applied. For other colours and depths see `modes.to_rgb`.

    Args:
        data: a whole image file.

    Returns:
        uint8 of shape (H, W, 3), RGB, contiguous and writable; the first frame of an animation.

    Raises:
        ImageError: stage "decode"; whatever the decoders raised.
    """
    try:
        pixels = _fast(data)
        return _with_pillow(data) if pixels is None else pixels
    except Exception as error:
        raise decode_error(error, data) from error


def decode_error(error: Exception, data: bytes) -> ImageError:
    """Say what a decoder raised, in words that are the same each time."""
    message = str(error) or "no reason given"
    if isinstance(error, UnidentifiedImageError):  # its own text is the address of a buffer
        message = (
            f"no image of a format that can be read; it begins with {data[:16]!r}" if data else "the file is empty"
        )
        if data.startswith(LFS_POINTER):
            message = "a git-LFS pointer lies in place of the image: `git lfs pull` fetches it"
    return ImageError("decode", type(error).__name__, message[:500])


def _fast(data: bytes) -> U8 | None:
    """Decode a plain JPEG; None where that is Pillow's business."""
    info = inspect(data)
    if info is None:
        return None
    _check_pixels(info.width, info.height)
    if info.progressive:
        check_scans(data)
    try:
        pixels: U8 = simplejpeg.decode_jpeg(data, "RGB")
    except Exception:  # the fast decoder is the stricter one
        return None
    if pixels.shape != (info.height, info.width, 3):
        return None
    return upright(pixels, info.orientation)


def _with_pillow(data: bytes) -> U8:
    check_scans(data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_pixels(*image.size)
        image.load()
        try:
            orientation = orientation_of(image.getexif())
        except Exception:  # damaged metadata is no reason to lose the picture
            orientation = 1
        return upright(to_rgb(image), orientation)


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{width:,} × {height:,} pixels; more than {MAX_PIXELS:,} are not decoded")


def upright(pixels: U8, orientation: int) -> U8:
    """Undo an EXIF orientation (1 to 8) by flips and a transposition."""
    if orientation == 1:
        return pixels
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels.transpose(1, 0, 2) if orientation >= 5 else pixels)
