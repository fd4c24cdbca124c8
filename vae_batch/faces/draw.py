"""A face of a data set as a picture: backdrop, features, light."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from vae_batch.faces.attributes import STILL, Attributes, Setting, attributes, setting
from vae_batch.faces.canvas import Canvas, mix
from vae_batch.faces.features import paint
from vae_batch.faces.palette import hsv, palette

SIZE = (178, 218)
"""Width and height of the aligned CelebA pictures."""


def draw_face(seed: int, index: int, size: tuple[int, int] = SIZE, still: bool = False) -> npt.NDArray[np.uint8]:
    """Draw one face of a data set: a pure function of its arguments.

    Args:
        seed: the data set's.
        index: the face's number, from 0.
        size: width and height in pixels.
        still: in the one setting `STILL`, whatever the seed and the number.

    Returns:
        RGB of shape (H, W, 3), values 0 to 255.
    """
    return render(attributes(seed, index), STILL if still else setting(seed, index), size)


def render(face: Attributes, scene: Setting, size: tuple[int, int] = SIZE) -> npt.NDArray[np.uint8]:
    """Draw a face of given attributes in a given setting: RGB of shape (H, W, 3), values 0 to 255."""
    unit = min(size) / 178
    origin = (
        size[0] / 2 + (scene.x - 0.5) * 10 * unit,
        size[1] / 2 + ((scene.y - 0.5) * 8 - 10) * unit,
    )
    canvas = Canvas(_backdrop(scene), size, origin, unit * (1.0 + 0.12 * scene.scale))
    paint(canvas, face, palette(face, scene), lean=2 * scene.light_turn - 1)
    light = 215 + round(41 * scene.light)  # in 256ths: integers are exact, and fast
    lit: npt.NDArray[np.uint16] = np.multiply(np.asarray(canvas.picture()), light, dtype=np.uint16)
    return (lit >> 8).astype(np.uint8)


def _backdrop(scene: Setting) -> Image.Image:
    """A small gradient between two muted colours, from one side or corner to the other."""
    value = 0.8 + 0.2 * scene.background_value
    first = hsv(scene.background_hue, 0.22, value)
    second = hsv(scene.background_hue + 0.3 * (scene.background_shift - 0.5), 0.36, value * 0.86)
    corners = Image.new("RGB", (2, 2), first)
    corners.putpixel((1, 0), mix(first, second, scene.background_turn))
    corners.putpixel((0, 1), mix(first, second, 1 - scene.background_turn))
    corners.putpixel((1, 1), second)
    return corners.resize((64, 64), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))
