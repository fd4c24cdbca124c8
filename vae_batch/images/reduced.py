"""JPEGs decoded at a half, a quarter or an eighth of their size, by libjpeg's scaled decoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import simplejpeg

from vae_batch.images.decode import MAX_PIXELS, decode, upright
from vae_batch.images.jpeg import JpegInfo, inspect
from vae_batch.images.modes import U8


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image, whole or at a fraction of its size; upright."""

    pixels: U8
    """(ceil(height / reduction), ceil(width / reduction), 3)."""
    width: int
    """Of the whole image, in pixels."""
    height: int
    reduction: int = 1
    """2, 4 or 8: these pixels are at a half, a quarter or an eighth of the size."""


def whole(data: bytes) -> Picture:
    """Decode an image of any kind; see `decode`."""
    pixels = decode(data)
    return Picture(pixels, pixels.shape[1], pixels.shape[0])


def decode_reduced(data: bytes, shrink: Callable[[int, int], float]) -> Picture | None:
    """Decode a plain JPEG at the least of the sizes that still have all the pixels that are wanted.

    Args:
        data: a whole image file.
        shrink: from its width and height, upright, to the factor by which it will be made smaller.

    Returns:
        None where it must be decoded whole: no plain JPEG, damaged, or not to be shrunk by two or more.
    """
    info = inspect(data)
    if info is None or info.width * info.height > MAX_PIXELS:
        return None
    size = (info.height, info.width) if info.orientation >= 5 else (info.width, info.height)
    reduction = _reduction(info, shrink(*size))
    if reduction == 1:
        return None
    height, width = -(-info.height // reduction), -(-info.width // reduction)
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, min_factor=reduction)
    except Exception:  # the verdict is that of whole decoding
        return None
    if pixels.shape != (height, width, 3):
        return None
    return Picture(upright(pixels, info.orientation), *size, reduction)


def _reduction(info: JpegInfo, shrink: float) -> int:
    """The largest that fits; the last pixels of an image that does not divide evenly are narrower ones, which a
    turned image would have in front."""
    for reduction in (8, 4, 2):
        even = info.width % reduction == 0 and info.height % reduction == 0
        if shrink >= reduction and (even or info.orientation == 1):
            return reduction
    return 1
