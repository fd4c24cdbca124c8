"""Space folded into channels and back, so that arithmetic is in wide, dense convolutions (Shi et al. 2016, 1609.05158).

Both ways run along memory where channels lie last.
"""

from __future__ import annotations

from torch import Tensor, nn


class Fold(nn.Module):
    """(B, C, H, W) to (B, p·p·C, H/p, W/p): patches of p×p pixels become channels, in memory order (row, column, C).

    `nn.PixelUnshuffle` puts C first and so copies number by number; where channels lie last, this copies runs of p·C.
    """

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See the class."""
        p, (b, c, h, w) = self.patch, x_BCHW.shape
        patches = x_BCHW.permute(0, 2, 3, 1).reshape(b, h // p, p, w // p, p, c).transpose(2, 3)
        return patches.reshape(b, h // p, w // p, p * p * c).permute(0, 3, 1, 2)


class Unfold(nn.Module):
    """The inverse of `Fold`."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, h_BCHW: Tensor) -> Tensor:
        """(B, p·p·C, h, w) to (B, C, p·h, p·w)."""
        p, (b, c, h, w) = self.patch, h_BCHW.shape
        patches = h_BCHW.permute(0, 2, 3, 1).reshape(b, h, w, p, p, c // p**2).transpose(2, 3)
        return patches.reshape(b, h * p, w * p, c // p**2).permute(0, 3, 1, 2)
