"""Smooth filled shapes in the face's own coordinates, drawn large and reduced: the anti-aliasing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLING = 3
_SEGMENTS = 4  # straight pieces between two control points
_SUBPIXELS = 64  # control points are rounded to this part of a large pixel; all that follows is exact


@lru_cache
def _spline(points: int) -> npt.NDArray[np.int64]:
    """Matrix from the control points of a closed Catmull-Rom curve (1974) to its corners, in 128ths."""
    corners = np.zeros((points, _SEGMENTS, points), dtype=np.int64)
    for step in range(_SEGMENTS):
        t = step / _SEGMENTS
        weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
        for at in range(points):
            for offset, weight in enumerate(weights, start=-1):
                corners[at, step, (at + offset) % points] += round(64 * weight)
    return corners.reshape(-1, points)


def mix(first: Sequence[float], second: Sequence[float], share: float) -> Colour:
    """Blend two colours; `share` in [0, 1] is the second one's."""
    r, g, b = (round(p + (q - p) * share) for p, q in zip(first, second, strict=True))
    return r, g, b


def mirrored(right: Sequence[Point]) -> list[Point]:
    """Close a contour, given its right half from top to bottom; a point with x = 0 is not doubled."""
    return [*right, *((-x, y) for x, y in reversed(right) if x)]


class Canvas:
    """A picture of `size` (width, height) over a backdrop; origin and unit are the face's, y grows downwards.

    Corners are whole pixels of the large picture, from integer arithmetic: the same on any CPU.
    """

    def __init__(self, backdrop: Image.Image, size: tuple[int, int], origin: Point, unit: float) -> None:
        large = (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
        self._image = backdrop.resize(large, Image.Resampling.NEAREST)
        self._pen = ImageDraw.Draw(self._image)
        self._origin = (origin[0] * OVERSAMPLING, origin[1] * OVERSAMPLING)
        self._unit = unit * OVERSAMPLING

    def ellipse(self, centre: Point, radii: Point, fill: Colour) -> None:
        """Fill an ellipse with upright axes."""
        (x, y), (rx, ry), (left, top), k = centre, radii, self._origin, self._unit
        box = ((x - rx) * k + left, (y - ry) * k + top, (x + rx) * k + left, (y + ry) * k + top)
        self._pen.ellipse([round(edge) for edge in box], fill=fill)

    def pair(self, centre: Point, radii: Point, fill: Colour) -> None:
        """Fill an ellipse and its mirror image: eyes, ears, cheeks."""
        x, y = centre
        self.ellipse((-x, y), radii, fill)
        self.ellipse((x, y), radii, fill)

    def shape(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill the smooth closed curve through the points."""
        control = np.rint((np.array(points) * self._unit + self._origin) * _SUBPIXELS).astype(np.int64)
        corners = _spline(len(points)) @ control + 64 * _SUBPIXELS
        self._pen.polygon((corners // (128 * _SUBPIXELS)).ravel().tolist(), fill=fill)

    def picture(self) -> Image.Image:
        """Give the picture at its own size."""
        return self._image.reduce(OVERSAMPLING)
