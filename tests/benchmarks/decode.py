"""Scaled decoding against exact: seconds and PSNR, on photographs.

    python -m tests.benchmarks.decode FOLDER_OF_JPEGS

Each photograph is brought to the sizes below, of which the first is CelebA's, and saved as a JPEG of quality 92. One
thread; the time is that of `load_image`, the best of several rounds over all images. PSNR in dB, of the model's input
under --decode fast against that under --decode exact: mean over the images, and the worst.
"""

from __future__ import annotations

import io
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from vae_batch.images import Transform, load_image

IMAGES, ROUNDS, QUALITY = 60, 5, 92
CASES = [
    ((178, 218), "center", 64),
    ((178, 218), "center:148", 64),
    ((178, 218), "center", 32),
    ((512, 512), "center", 128),
    ((1024, 1024), "center", 256),
    ((1024, 1024), "center", 128),
    ((1024, 1024), "center", 64),
]


def jpegs(paths: list[Path], size: tuple[int, int]) -> list[bytes]:
    files = []
    for path in paths:
        sink = io.BytesIO()
        ImageOps.fit(Image.open(path).convert("RGB"), size, Image.Resampling.LANCZOS).save(
            sink, "JPEG", quality=QUALITY
        )
        files.append(sink.getvalue())
    return files


def load_all(files: list[bytes], transform: Transform) -> tuple[np.ndarray, float]:
    """Pixels (N, S, S, 3), and seconds an image."""
    out = np.zeros((len(files), transform.size, transform.size, 3), np.uint8)
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for data, slot in zip(files, out, strict=True):
            load_image(data, transform, slot)
        best = min(best, time.thread_time() - begun)
    return out, best / len(files)


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    mse = ((a.astype(np.float64) - b) ** 2).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(mse, 1e-9))


def main(folder: str) -> None:
    torch.set_num_threads(1)
    paths = list(islice(sorted(Path(folder).rglob("*.jp*g")), IMAGES))
    print(f"{len(paths)} photographs")
    print("| image | crop | to | shrunk by | exact, µs | fast, µs | faster | PSNR, mean | worst |\n" + "|---" * 9 + "|")
    for size, crop, side in CASES:
        files = jpegs(paths, size)
        exact, exact_seconds = load_all(files, Transform(side, crop))
        fast, fast_seconds = load_all(files, Transform(side, crop, decode="fast"))
        shrink = Transform(side, crop).cut(*size, None).shrink
        decibels = psnr(exact, fast)
        print(
            f"| {size[0]}×{size[1]} | {crop} | {side} | {shrink:.2f} | {exact_seconds * 1e6:.0f} | "
            f"{fast_seconds * 1e6:.0f} | {exact_seconds / fast_seconds:.2f} | {decibels.mean():.1f} | "
            f"{decibels.min():.1f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1])
