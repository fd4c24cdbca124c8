"""Whether labels fit an image, without decoding it: its size from the header, its box or landmarks against that."""

from __future__ import annotations

import io

from PIL import Image

from vae_batch.images.columns import numbers
from vae_batch.images.crop import Labels
from vae_batch.images.decode import FORMATS, decode_error
from vae_batch.images.jpeg import orientation_of
from vae_batch.types import BOX_COLUMNS, LANDMARK_COLUMNS


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height of an image as it is to be looked at, from its header.

    Raises:
        ImageError: stage "decode".
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            # a PNG's own getexif would decode the image; a TIFF's size is that of the upright image already
            turned = image.format != "TIFF" and orientation_of(Image.Image.getexif(image)) >= 5
    except Exception as error:
        raise decode_error(error, data) from error
    return (height, width) if turned else (width, height)


def overhang(crop: str, size: tuple[int, int], labels: Labels) -> float:
    """By how many pixels an image's box or landmarks lie outside it; 0 if they do not.

    Args:
        crop: "box" or "landmarks".
        size: width and height of the upright image.
        labels: of the image.

    Raises:
        ImageError: a label is missing, or no finite number.
    """
    if crop == "box":
        x, y, width, height = numbers(labels, BOX_COLUMNS, crop)
        xs, ys = [x, x + width], [y, y + height]
    else:
        values = numbers(labels, LANDMARK_COLUMNS, crop)
        xs, ys = values[0::2], values[1::2]
    return max(0.0, -min(xs), -min(ys), max(xs) - size[0], max(ys) - size[1])
