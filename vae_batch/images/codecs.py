"""Pixels to the bytes of a picture file."""

from __future__ import annotations

import io

import simplejpeg
from PIL import Image

from vae_batch.images.modes import U8
from vae_batch.specs import Codec

QUALITY = 95
"""Of jpeg and webp where none is given."""
PNG_LEVEL = 1
"""Of zlib: level 6 takes several times as long for a tenth less."""


def encode_image(pixels: U8, codec: Codec, quality: int | None = None) -> bytes:
    """Write a picture.

    Args:
        pixels: uint8 (H, W, 3) RGB or (H, W, 1) gray, contiguous.
        codec: png keeps every bit; jpeg has no chroma subsampling; webp is lossy too.
        quality: of jpeg and webp, 1 to 100; None: 95.
    """
    if codec == "jpeg":
        space = "RGB" if pixels.shape[2] == 3 else "GRAY"
        data: bytes = simplejpeg.encode_jpeg(pixels, quality or QUALITY, colorspace=space, colorsubsampling="444")
        return data
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    sink = io.BytesIO()
    if codec == "png":
        image.save(sink, "PNG", compress_level=PNG_LEVEL)
    else:
        image.save(sink, "WEBP", quality=quality or QUALITY)
    return sink.getvalue()
