"""Pillow's modes to RGB in 8 bits: transparency, palettes, 16 bits, floats, CMYK."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

U8 = npt.NDArray[np.uint8]

_BITS_PER_SAMPLE = 258

STRIP_PIXELS = 1 << 20
"""Worked on at a time where that takes copies in wider types: memory stays near that of the result."""

BACKGROUND = (255, 255, 255, 255)
"""What shows through a transparent image: white, as a page would."""


def to_rgb(image: Image.Image) -> U8:
    """The first frame of a loaded image as (H, W, 3).

    - Transparency of any kind is laid over BACKGROUND.
    - 16 bits: value / 257, rounded; TIFFs that say 9 to 15 bits by the white of these. 32-bit integers within
      0..65,535 as 16 bits, else their range becomes 0..255.
    - Floats: within 0..1 times 255; within 0..255 as they are; else their range becomes 0..255. What is not finite
      counts as the least finite value.
    - CMYK and the rest as Pillow converts them. ICC profiles are not applied.
    """
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        grey = _scale(np.asarray(image), mode, _white(image))
        clear = image.info.get("transparency")
        if isinstance(clear, int):
            grey[np.asarray(image) == clear] = BACKGROUND[0]
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        return _opaque(image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _opaque(image: Image.Image) -> U8:
    """Lay an image over the page, some rows at a time: the copies that this takes may be large."""
    if image.mode in ("La", "RGBa"):  # alpha multiplied in
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    out = np.empty((image.height, image.width, 3), np.uint8)
    for rows in _strips(image.height, image.width):
        strip = image.crop((0, rows.start, image.width, rows.stop)).convert("RGBA")
        page = Image.new("RGBA", strip.size, BACKGROUND)
        out[rows] = np.asarray(Image.alpha_composite(page, strip))[..., :3]
    return out


def _white(image: Image.Image) -> float:
    """The greatest value that 16 bits of grey may have; less where a TIFF holds fewer."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    return float(2 ** bits[0] - 1) if image.mode.startswith("I;16") and bits and 8 < bits[0] < 16 else 65535.0


def _scale(values: npt.NDArray[np.generic], mode: str, white: float) -> U8:
    """Grey values of any range to 0..255, some rows at a time."""
    low, high = _range(values)
    floor = low
    if mode != "F" and low >= 0 and high <= white:
        low, high = 0.0, white
    elif mode == "F" and low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    out = np.zeros(values.shape, np.uint8)
    for rows in _strips(*values.shape) if high > low else ():
        grey = _wide(values[rows])
        grey[~np.isfinite(grey)] = floor
        out[rows] = np.rint((grey - low) * (255.0 / (high - low)))
    return out


def _range(values: npt.NDArray[np.generic]) -> tuple[float, float]:
    """The least and the greatest finite value; zeros where there is none."""
    low, high = np.inf, -np.inf
    for rows in _strips(*values.shape):
        grey = _wide(values[rows])
        finite = grey[np.isfinite(grey)]
        if len(finite):
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _wide(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a signalling NaN would be told on the terminal
        return values.astype(np.float64)


def _strips(height: int, width: int) -> Iterator[slice]:
    step = max(1, STRIP_PIXELS // max(1, width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))
