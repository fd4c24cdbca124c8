"""Structural similarity of images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, WIDTH = 11, 1.5
K1, K2 = 0.01, 0.03


def ssim(x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
    """Give the mean SSIM of each image: (B,), 1 for equal ones.

    Wang, Bovik, Sheikh and Simoncelli 2004: Gaussian window of 11×11 pixels, sigma 1.5, where it lies wholly in the
    image; each channel for itself.

    Args:
        x_BCHW: float32 in [0, 1], at least 11 pixels a side.
        y_BCHW: of the same shape.
    """
    maps = torch.cat([x_BCHW, y_BCHW, x_BCHW.square(), y_BCHW.square(), x_BCHW * y_BCHW], 1)
    x, y, xx, yy, xy = _blur(maps).chunk(5, 1)
    c1, c2 = K1**2, K2**2
    means, variances, covariance = x.square() + y.square(), (xx - x.square()) + (yy - y.square()), xy - x * y
    values = (2 * x * y + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))
    return values.flatten(1).mean(1)


def _blur(maps_BCHW: Tensor) -> Tensor:
    at = torch.arange(WINDOW, device=maps_BCHW.device) - WINDOW // 2
    weights = (-at.square() / (2 * WIDTH**2)).exp()
    weights = (weights / weights.sum()).to(maps_BCHW.dtype).expand(maps_BCHW.shape[1], 1, -1)
    rows = F.conv2d(maps_BCHW, weights[:, :, :, None], groups=maps_BCHW.shape[1])
    return F.conv2d(rows, weights[:, :, None, :], groups=maps_BCHW.shape[1])
