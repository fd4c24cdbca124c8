"""Aligning a face by five points to a template."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vae_batch.images.columns import numbers
from vae_batch.images.errors import ImageError
from vae_batch.images.modes import U8
from vae_batch.images.resize import resize
from vae_batch.types import LANDMARK_COLUMNS

TEMPLATE = np.array(
    [38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j, 41.5493 + 92.3655j, 70.7299 + 92.2041j]
)
"""Eyes, nose and corners of the mouth, x + iy, at 112 × 112 pixels: ArcFace (Deng et al. 2019), `arcface_dst` of
insightface's face_align.py."""
TEMPLATE_SIZE = 112

MIN_LIKENESS = 0.5
"""Least correlation of the points with the template. Faces in profile have more; left and right exchanged give 0.23."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The similarity z → a·z + b from an upright image to the square of the model; x + iy, in pixels.

    Places are counted from the outer edge, so that the centre of the first pixel is 0.5 + 0.5i.
    """

    a: complex
    b: complex

    @property
    def shrink(self) -> float:
        """By how much the image is made smaller."""
        return 1 / abs(self.a)

    def draw(self, pixels: U8, out: U8, reduction: int = 1) -> None:
        """Turn, shift and scale into `out`, (S, S, 3); `pixels` is the image at 1/reduction of its size.

        Antialiased: the image is averaged down until two to four pixels go into one, taken from there at one sample
        a pixel or more, and those are resized as any other image. Black beyond the edge. On photographs that is
        within 51 dB of taking four samples a pixel each way; one sample a pixel of the square comes to 29 to 35 dB.
        """
        shrink = round(self.shrink / reduction, 6)  # what should be 2 must not be a little more or less
        coarse = max(1, int(shrink // 2))
        fine = max(1, math.ceil(shrink / coarse))
        image = Image.fromarray(pixels) if coarse == 1 else Image.fromarray(pixels).reduce(coarse)
        a = self.a * reduction * coarse
        step, start = 1 / (a * fine), -self.b / a
        matrix = (step.real, -step.imag, start.real, step.imag, step.real, start.imag)
        size = (out.shape[1] * fine, out.shape[0] * fine)
        taken = image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        resize(np.array(taken), out)


def align(width: int, height: int, labels: Mapping[str, Any] | None, size: int) -> Alignment:
    """The similarity that takes an image's landmarks closest to the template, in the sense of least squares.

    Umeyama 1991, equations 40 to 42, without reflections. In the plane, with points as complex numbers p and q around
    their means, that is a = Σ q·conj(p) / Σ |p|².

    Args:
        width, height: of the upright image, in pixels.
        labels: hold `LANDMARK_COLUMNS`: pixels, the centre of the first one at 0.
        size: S, the side of the square that the template is scaled to.

    Raises:
        ImageError: a label is missing or no finite number; the points' mean lies outside the image; they are not
            placed as a face's are.
    """
    values = np.array(numbers(labels, LANDMARK_COLUMNS, "landmarks"))
    points = values[0::2] + 1j * values[1::2] + (0.5 + 0.5j)
    target = (TEMPLATE + (0.5 + 0.5j)) * (size / TEMPLATE_SIZE)
    center = complex(points.mean())
    if not (0 <= center.real <= width and 0 <= center.imag <= height):
        where = f"({center.real:.0f}, {center.imag:.0f})"
        raise ImageError(
            "transform", "OutsideImage", f"the landmarks lie around {where}, outside the image of {width}×{height}"
        )
    p, q = points - center, target - target.mean()
    product, spread = complex((q * p.conj()).sum()), float((abs(p) ** 2).sum())
    if abs(product) < MIN_LIKENESS * math.sqrt(spread * float((abs(q) ** 2).sum())) or spread == 0:
        raise ImageError(
            "transform",
            "LabelError",
            "the landmarks are not placed as a face's are (eyes, nose, corners of the mouth): are left and right "
            "exchanged? lefteye is the one at the left of the image",
        )
    a = product / spread
    return Alignment(a, complex(target.mean()) - a * center)
