"""What a model makes of images and of its latent space: reconstructions, traversals, KL by dimension, prior samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vae_batch.analysis.figures import BLUE, INK, figure, show_images
from vae_batch.noise import noise

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Decode = Callable[[F32], U8]
"""Latents (N, D) to images (N, H, W, 3) uint8."""

WIDTH, GAP = 10.0, 2
"""Inches of a picture; pixels between images."""
REACH, STEPS = 3, 7
"""A traversal goes from -3 to 3 standard deviations of the prior, in so many images."""
LABELLED = 40
"""Dimensions up to which each bar has its number."""


def kl_by_dimension(mean_ND: F32, variance_ND: F32) -> F32:
    """Give the mean over images of KL(q‖N(0, 1)) in each dimension: (D,), nats per image."""
    variance = np.maximum(variance_ND, np.finfo(np.float32).tiny)
    terms = 0.5 * (np.square(mean_ND) + variance - 1.0 - np.log(variance))
    return np.asarray(terms.mean(0), np.float32)


def draw_reconstructions(path: Path, originals: U8, decoded: U8, columns: int = 12) -> None:
    """Draw images (N, H, W, 3) in rows, below each row what was decoded from their posterior means."""
    rows = [
        part for at in range(0, len(originals), columns) for part in (originals[at:][:columns], decoded[at:][:columns])
    ]
    blank = [np.full((columns - len(row), *row.shape[1:]), 255, np.uint8) for row in rows]
    sheet = np.stack([np.concatenate(pair) for pair in zip(rows, blank, strict=True)])
    _sheet(path, sheet, ["original", "decoded"] * (len(rows) // 2))


def draw_prior(path: Path, decode: Decode, dims: int, rows: int = 3, columns: int = 12) -> None:
    """Draw what is decoded from draws of the prior N(0, I)."""
    z = noise(0, [f"prior {i}" for i in range(rows * columns)], dims)[:, 0]
    images = decode(z)
    _sheet(path, images.reshape(rows, columns, *images.shape[1:]), [""] * rows)


def draw_traversals(path: Path, decode: Decode, dims: int, labels: dict[int, str]) -> None:
    """Draw a row for each dimension: it goes from -3 to 3 while the others stay at the prior's mean.

    Args:
        path: of the PNG.
        decode: of the model.
        dims: D of its latents.
        labels: of the dimensions to draw, top to bottom.
    """
    steps = np.linspace(-REACH, REACH, STEPS, dtype=np.float32)
    z = np.zeros((len(labels), STEPS, dims), np.float32)
    for row, dim in zip(z, labels, strict=True):
        row[:, dim] = steps
    images = decode(z.reshape(-1, dims))
    columns = [f"{step:+.0f}" if step else "0" for step in steps]
    _sheet(path, images.reshape(len(labels), STEPS, *images.shape[1:]), list(labels.values()), columns)


def draw_kl(path: Path, kl_D: F32) -> None:
    """Draw each dimension's KL, the largest first; (D,) nats per image."""
    order = np.argsort(-kl_D, kind="stable")
    with figure(path, 10, 3.4) as drawing:
        axes = drawing.subplots()
        if len(order) <= LABELLED:
            axes.bar(range(len(order)), kl_D[order], color=BLUE, width=0.75)
            axes.set_xticks(range(len(order)), [str(dim) for dim in order], fontsize=8)
        else:
            axes.fill_between(range(len(order)), kl_D[order], color=BLUE, step="mid", linewidth=0)
        axes.set_xlim(-0.6, len(order) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("dimension, by its KL")
        axes.set_ylabel("KL, nats per image")
        axes.grid(True, axis="y")
        total = f"{kl_D.sum():.1f} nats per image in all"
        axes.text(0.99, 0.93, total, transform=axes.transAxes, ha="right", va="top", color=INK)


def _sheet(path: Path, rows: U8, left: list[str], top: list[str] | None = None) -> None:
    """Write rows of images (R, C, H, W, 3) with a word at the left of each row and above each column."""
    height, width = rows.shape[2] + GAP, rows.shape[3] + GAP
    beside, above = 0.9 if any(left) else 0.0, 0.3 if top else 0.0
    inches = WIDTH - beside, (WIDTH - beside) * (height * len(rows) - GAP) / (width * rows.shape[1] - GAP)
    with figure(path, WIDTH, inches[1] + above, fitted=False) as drawing:
        axes = drawing.add_axes((beside / WIDTH, 0, inches[0] / WIDTH, inches[1] / (inches[1] + above)))
        show_images(axes, rows, GAP)
        axes.set_yticks([height * (i + 0.5) for i in range(len(rows))], left)
        if top:
            axes.set_xticks([width * (i + 0.5) for i in range(rows.shape[1])], top)
            axes.xaxis.tick_top()
        axes.tick_params(length=0, colors=INK)
