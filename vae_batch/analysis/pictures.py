"""Contact sheets: rows of images on one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

MARGIN = 2


def to_uint8(images: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Turn (N, C, H, W) in [0, 1] into (N, H, W, 3) in 0..255, gray repeated."""
    scaled = np.clip(np.rint(images * 255.0), 0, 255).astype(np.uint8)
    return np.broadcast_to(scaled, (len(scaled), 3, *scaled.shape[2:])).transpose(0, 2, 3, 1)


def contact_sheet(rows: Sequence[npt.NDArray[np.uint8]], path: Path, zoom: int = 2) -> None:
    """Write rows of images of one size, each (N, H, W, 3), as one PNG on white.

    Args:
        rows: top to bottom; they may differ in N.
        path: of the PNG.
        zoom: whole factor, nearest neighbour, so that pixels stay what they are.
    """
    height, width = rows[0].shape[1:3]
    columns = max(len(row) for row in rows)
    step_y, step_x = height + MARGIN, width + MARGIN
    sheet = np.full((len(rows) * step_y + MARGIN, columns * step_x + MARGIN, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, left = MARGIN + y * step_y, MARGIN + x * step_x
            sheet[top : top + height, left : left + width] = image
    picture = Image.fromarray(sheet)
    picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST).save(path)
