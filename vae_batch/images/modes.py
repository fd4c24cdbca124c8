"""Pillow's modes to RGB in 8 bits: transparency, palettes, 16 bits, floats, CMYK."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

U8 = npt.NDArray[np.uint8]

_BITS_PER_SAMPLE = 258

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
        image = _opaque(image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("La", "RGBa"):  # alpha multiplied in
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    page = Image.new("RGBA", image.size, BACKGROUND)
    return Image.alpha_composite(page, image.convert("RGBA")).convert("RGB")


def _white(image: Image.Image) -> float:
    """The greatest value that 16 bits of grey may have; less where a TIFF holds fewer."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    return float(2 ** bits[0] - 1) if image.mode.startswith("I;16") and bits and 8 < bits[0] < 16 else 65535.0


def _scale(values: npt.NDArray[np.generic], mode: str, white: float) -> U8:
    """Grey values of any range to 0..255."""
    grey = values.astype(np.float64)
    finite = np.isfinite(grey)
    if not finite.all():
        grey[~finite] = grey[finite].min() if finite.any() else 0.0
    low, high = float(grey.min()), float(grey.max())
    if mode != "F" and low >= 0 and high <= white:
        low, high = 0.0, white
    elif mode == "F" and low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    scaled = (grey - low) * (255.0 / (high - low)) if high > low else np.zeros_like(grey)
    return np.rint(scaled).astype(np.uint8)
