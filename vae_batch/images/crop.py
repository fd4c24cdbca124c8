"""Which rectangle of an image `--crop` means, and how `--fit` makes a square of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np

from vae_batch.errors import SpecError
from vae_batch.images.columns import numbers
from vae_batch.images.errors import ImageError
from vae_batch.images.modes import U8
from vae_batch.images.resize import resize, resize_between
from vae_batch.types import BOX_COLUMNS

Fit = Literal["cover", "contain", "stretch"]
Labels = Mapping[str, Any] | None

PADDING = 0
"""Of `contain`, and beyond the edge of an aligned image: black."""

MIN_INSIDE = 0.5
"""Share of a box that must lie in the image; a box with less of it belongs to another picture."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Whole pixels of an upright image, counted from its left and upper edge."""

    left: int
    top: int
    width: int
    height: int

    def squared(self) -> Rectangle:
        """The largest centred square; of an odd remainder the smaller half is cut off left and above."""
        side = min(self.width, self.height)
        return Rectangle(self.left + (self.width - side) // 2, self.top + (self.height - side) // 2, side, side)


Cutter = Callable[[int, int, Labels], Rectangle]
"""From an image's width, height and labels to what is cut out; raises ImageError where that cannot be."""


@lru_cache
def cutter(crop: str) -> Cutter:
    """What a crop other than `landmarks` means.

    - `none`: the whole image.
    - `center`: the largest centred square.
    - `center:N`: the centred square of N pixels a side.
    - `WxH+X+Y`: W × H pixels, X from the left and Y from the top.
    - `box`: the columns `BOX_COLUMNS` of the image's labels, rounded to whole pixels. What sticks out of the image is
      cut off; a box that lies by less than half in the image is refused.

    Raises:
        SpecError: it is none of these.
    """
    if crop in _NAMED:
        return _NAMED[crop]
    if match := re.fullmatch(r"center:([1-9][0-9]*)", crop):
        return partial(_centred, int(match[1]))
    if match := re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)\+(0|[1-9][0-9]*)\+(0|[1-9][0-9]*)", crop):
        width, height, left, top = map(int, match.groups())
        return partial(_fixed, Rectangle(left, top, width, height))
    raise SpecError(
        f"crop is {crop!r}; it must be none, center, center:N (such as center:148), WxH+X+Y (such as 148x148+15+40), "
        "landmarks or box"
    )


def _whole(width: int, height: int, labels: Labels) -> Rectangle:
    return Rectangle(0, 0, width, height)


def _square(width: int, height: int, labels: Labels) -> Rectangle:
    return Rectangle(0, 0, width, height).squared()


def _centred(side: int, width: int, height: int, labels: Labels) -> Rectangle:
    if side > min(width, height):
        raise _outside(f"crop center:{side} is larger than the image of {width}×{height} pixels")
    return Rectangle((width - side) // 2, (height - side) // 2, side, side)


def _fixed(wanted: Rectangle, width: int, height: int, labels: Labels) -> Rectangle:
    right, bottom = wanted.left + wanted.width, wanted.top + wanted.height
    if right > width or bottom > height:
        raise _outside(f"the crop ends at ({right}, {bottom}), outside the image of {width}×{height} pixels")
    return wanted


def _box(width: int, height: int, labels: Labels) -> Rectangle:
    x, y, w, h = numbers(labels, BOX_COLUMNS, "box")
    left, top, right, bottom = round(x), round(y), round(x + w), round(y + h)
    where = f"the box of {w:g}×{h:g} pixels at ({x:g}, {y:g})"
    if right <= left or bottom <= top:
        raise ImageError("transform", "LabelError", f"{where} is empty")
    inside = Rectangle(max(left, 0), max(top, 0), min(right, width) - max(left, 0), min(bottom, height) - max(top, 0))
    share = max(inside.width, 0) * max(inside.height, 0) / ((right - left) * (bottom - top))
    if share < MIN_INSIDE:
        raise _outside(f"{where} lies by {share:.0%} in the image of {width}×{height} pixels, less than half")
    return inside


_NAMED: dict[str, Cutter] = {"none": _whole, "center": _square, "box": _box}


def _outside(message: str) -> ImageError:
    return ImageError("transform", "OutsideImage", message)


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of an image, and the shape that it is resized to."""

    region: Rectangle
    columns: int
    rows: int

    @classmethod
    def fitted(cls, region: Rectangle, fit: Fit, size: int) -> Patch:
        """Make a square of S = `size` pixels a side.

        - cover: what is longer is cut, centred.
        - contain: all of it, its longer side S; beside it black, shared out evenly (the odd one right or below).
        - stretch: all of it, both sides S.
        """
        if fit == "cover":
            return cls(region.squared(), size, size)
        if fit == "stretch":
            return cls(region, size, size)
        longer = max(region.width, region.height)
        columns, rows = (max(1, round(size * side / longer)) for side in (region.width, region.height))
        return cls(region, columns, rows)

    @property
    def shrink(self) -> float:
        """By how much it is made smaller; along the two sides the lesser."""
        return min(self.region.width / self.columns, self.region.height / self.rows)

    def draw(self, pixels: U8, out: U8, reduction: int = 1) -> None:
        """Cut and resize into `out`, (S, S, 3); `pixels` is the image at 1/reduction of its size."""
        height, width = out.shape[:2]
        if (height, width) == (self.rows, self.columns):
            self._draw(pixels, out, reduction)
            return
        inner = np.empty((self.rows, self.columns, 3), np.uint8)
        self._draw(pixels, inner, reduction)
        top, left = (height - self.rows) // 2, (width - self.columns) // 2
        out[:] = PADDING
        out[top : top + self.rows, left : left + self.columns] = inner

    def _draw(self, pixels: U8, out: U8, reduction: int) -> None:
        left, top = self.region.left, self.region.top
        right, bottom = left + self.region.width, top + self.region.height
        if reduction > 1 and any(edge % reduction for edge in (left, top, right, bottom)):
            edges = left / reduction, top / reduction, right / reduction, bottom / reduction
            resize_between(pixels, edges, out)
            return
        resize(pixels[top // reduction : bottom // reduction, left // reduction : right // reduction], out)
