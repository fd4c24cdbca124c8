"""Pictures for the tests of this folder."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from vae_batch.images import Transform, load_image


def encoded(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def smooth(width: int, height: int, seed: int = 0, detail: int = 12) -> np.ndarray:
    """A picture such as a camera might take: nothing in it is finer than `width / detail` pixels."""
    coarse = Image.fromarray(noise(detail, detail, seed))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def loaded(data: bytes, size: int, *args: str, labels: dict[str, object] | None = None, **more: str) -> np.ndarray:
    out = np.full((size, size, 3), 77, np.uint8)
    load_image(data, Transform(size, *args, **more), out, labels)  # type: ignore[arg-type]
    return out


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))
