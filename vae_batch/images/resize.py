"""Antialiased resizing of 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from vae_batch.images.modes import U8


def resize(source: U8, out: U8) -> None:
    """Resize (h, w, 3) into `out`, (H, W, 3) and contiguous: bilinear, antialiased where it shrinks.

    The operator behind F.interpolate(uint8 channels-last, mode="bilinear", antialias=True), with the same bits;
    called directly, since dispatch and a further copy would cost as much as a third of it. What has the right shape
    already is copied.
    """
    if source.shape == out.shape:
        np.copyto(out, source)
        return
    import torch  # not at the top: a job is planned, and found to be done, without it

    pixels = torch.from_numpy(source)[None].permute(0, 3, 1, 2)
    target = torch.from_numpy(out)[None].permute(0, 3, 1, 2)
    upsample: Any = torch._C._nn._upsample_bilinear2d_aa
    upsample(pixels, [out.shape[0], out.shape[1]], False, None, out=target)


def resize_between(source: U8, edges: tuple[float, float, float, float], out: U8) -> None:
    """The same for a part whose edges (left, top, right, bottom) lie between pixels; by Pillow, within ±3 of 255."""
    rows, columns = out.shape[:2]
    image = Image.fromarray(source).resize((columns, rows), Image.Resampling.BILINEAR, box=edges)
    np.copyto(out, np.asarray(image))
