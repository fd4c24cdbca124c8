"""Two dimensions of a latent space: where images lie in it, and what the decoder makes of every place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_batch.analysis.figures import GRAY, INK, RED, figure, montage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

F32 = npt.NDArray[np.float32]
Decode = Callable[[F32], npt.NDArray[np.uint8]]
"""Latents (N, D) to images (N, H, W, 3)."""

LATTICE = 11
"""Images a side of a decoded plane."""
VEIL = 3
"""By how much places that no posterior reaches are paler."""
REACH = 3.0
"""Of the plane in standard deviations of the prior, where no image lies further out."""


@dataclass(frozen=True)
class Plane:
    """A two-dimensional latent space to be drawn."""

    title: str
    caption: str
    mean: F32
    """(N, 2), of the posteriors."""
    variance: F32
    """(N, 2)."""
    decode: Decode

    @property
    def reach(self) -> float:
        """Half the side of the square that is drawn; it holds the prior and nearly every image."""
        return max(REACH, 1.05 * float(np.quantile(np.abs(self.mean).max(1), 0.995)))


def draw_planes(path: Path, planes: Sequence[Plane], colour_N: F32, colour_name: str, ellipses: int = 12) -> None:
    """Draw latent planes side by side: images as points above, over all posteriors in grey; the decoded plane below,
    pale where no posterior reaches.

    Args:
        path: of the PNG.
        planes: of the same N images.
        colour_N: an attribute of the images, by which points are coloured.
        colour_name: its name.
        ellipses: of how many images the posterior is outlined, at two standard deviations.
    """
    with figure(path, 4.3 * len(planes) + 0.5, 9.4) as drawing:
        axes = drawing.subplots(2, len(planes), squeeze=False)
        for plane, above, below in zip(planes, axes[0], axes[1], strict=True):
            points = _points(above, plane, colour_N, ellipses)
            _decoded(below, plane)
        bar = drawing.colorbar(points, ax=axes[0].tolist(), shrink=0.8, pad=0.01)
        bar.set_label(colour_name)
        bar.outline.set_visible(False)


def _points(axes: Axes, plane: Plane, colour_N: F32, ellipses: int) -> PathCollection:
    points = axes.scatter(plane.mean[:, 0], plane.mean[:, 1], c=colour_N, s=8, linewidths=0, cmap="viridis", zorder=2)
    _ellipses(axes, plane.mean, plane.variance, facecolor=GRAY, alpha=0.12, linewidths=0, zorder=1)
    some = slice(ellipses)
    _ellipses(axes, plane.mean[some], plane.variance[some], facecolor="none", edgecolor=INK, linewidths=1.0, zorder=3)
    _prior(axes, 1, 2)
    axes.set_title(plane.title, fontsize=13)
    axes.set_xlabel(plane.caption, color=INK, labelpad=8)
    axes.grid(True)
    _square(axes, plane.reach)
    return points


def _ellipses(axes: Axes, mean_N2: F32, variance_N2: F32, **look: Any) -> None:
    """Draw posteriors out to two standard deviations."""
    from matplotlib.collections import EllipseCollection

    wide, high = 4 * np.sqrt(variance_N2.T)
    where = {"offsets": mean_N2, "offset_transform": axes.transData}
    axes.add_collection(EllipseCollection(wide, high, np.zeros(len(wide)), units="xy", **where, **look))


def _prior(axes: Axes, *radii: float) -> None:
    """Draw the prior at so many standard deviations."""
    from matplotlib.patches import Circle

    for radius in radii:
        circle = Circle((0, 0), radius, fill=False, edgecolor=RED, linestyle="--", linewidth=1.4, zorder=4)
        axes.add_patch(circle)


def _decoded(axes: Axes, plane: Plane) -> None:
    reach = plane.reach
    edges = np.linspace(-reach, reach, LATTICE + 1)
    at = (edges[1:] + edges[:-1]) / 2
    z = np.stack(np.meshgrid(at, -at), axis=-1).reshape(-1, 2).astype(np.float32)
    images = plane.decode(z)
    pale = ~reached(plane, z, reach / LATTICE)
    images[pale] = 255 - (255 - images[pale]) // VEIL
    sheet = montage(images.reshape(LATTICE, LATTICE, *images.shape[1:]), gap=0)
    axes.imshow(sheet, extent=(-reach, reach, -reach, reach), interpolation="lanczos")
    _prior(axes, 2)
    _square(axes, reach)


def reached(plane: Plane, z_M2: F32, half: float) -> npt.NDArray[np.bool_]:
    """Say which squares, of centre z and half a side, some posterior reaches with two standard deviations: (M,)."""
    sigma = np.sqrt(plane.variance)
    away = (np.maximum(np.abs(z - plane.mean) - half, 0.0) / sigma for z in z_M2)
    return np.array([(np.square(parts).sum(1) <= 4.0).any() for parts in away])


def _square(axes: Axes, reach: float) -> None:
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.tick_params(length=0, colors=GRAY)
