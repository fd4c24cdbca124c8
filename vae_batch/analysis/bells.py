"""Posteriors of single images: a picture, and beside it a small Gaussian for each dimension."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vae_batch.analysis.figures import BLUE, GRAY, INK, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

REACH = 3.3
"""Of the axes, in standard deviations of the prior."""


def draw_posteriors(
    path: Path, images_NHWC: U8, mean_ND: F32, variance_ND: F32, heads: Sequence[str], notes: Sequence[Sequence[str]]
) -> None:
    """Draw a row for each of a few images: the image, then q(z|x) of each dimension over the prior.

    All curves are as high as each other: a density would be too high to draw where the variance is small.

    Args:
        path: of the PNG.
        images_NHWC: N images.
        mean_ND: their posteriors' means.
        variance_ND: and variances.
        heads: words above each of the D columns.
        notes: a word of what is known, for each image and dimension.
    """
    count, dims = mean_ND.shape
    with figure(path, 1.5 * dims + 1.7, 1.65 * count + 0.8) as drawing:
        grid = drawing.subplots(count, dims + 1, squeeze=False, width_ratios=[1.25, *[1] * dims])
        for row, image in enumerate(images_NHWC):
            grid[row, 0].imshow(image, interpolation="lanczos")
            grid[row, 0].set_axis_off()
            for dim in range(dims):
                axes = grid[row, dim + 1]
                _bell(axes, float(mean_ND[row, dim]), float(variance_ND[row, dim]) ** 0.5, notes[row][dim])
                axes.tick_params(labelbottom=row == count - 1)
        for axes, head in zip(grid[0, 1:], heads, strict=True):
            axes.set_title(head, fontsize=10.5, pad=32)


def _bell(axes: Axes, mean: float, sigma: float, note: str) -> None:
    x = np.linspace(-REACH, REACH, 400)
    fine = np.clip(np.linspace(mean - 5 * sigma, mean + 5 * sigma, 200), -REACH, REACH)
    axes.plot(x, np.exp(-0.5 * x**2), color=GRAY, linewidth=1.1, linestyle="--")
    height = np.exp(-0.5 * ((fine - mean) / max(sigma, 1e-6)) ** 2)
    axes.fill_between(fine, height, color=BLUE, alpha=0.45, linewidth=0)
    axes.plot(fine, height, color=BLUE, linewidth=1.6)
    words = f"{note}\n{mean:+.2f} ± {sigma:.2g}"
    axes.text(0.5, 1.0, words, transform=axes.transAxes, ha="center", va="bottom", fontsize=9, color=INK)
    axes.set(xlim=(-REACH, REACH), ylim=(0, 1.12), yticks=[], xticks=[-2, 0, 2])
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=2, labelsize=8)
