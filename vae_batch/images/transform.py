"""From a decoded image of any size to the square that the model takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vae_batch.errors import SpecError
from vae_batch.images.decode import decode
from vae_batch.images.errors import ImageError
from vae_batch.images.modes import U8


@dataclass(frozen=True, slots=True)
class Transform:
    """The largest centred square, resized with antialiasing. Part of a model's config and of the fingerprint."""

    size: int
    """Side of the square in pixels, S."""
    crop: Literal["center"] = "center"

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 1:
            raise SpecError(f"image_size is {self.size!r}; it must be a whole number of pixels, 1 or more")
        if self.crop != "center":
            raise SpecError(f"crop is {self.crop!r}; this version knows center")

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a model's config."""
        return {"image_size": self.size, "crop": self.crop, "resample": "bilinear"}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Transform:
        """The inverse of `to_dict`. Raises SpecError on a key or a value that is not known."""
        unknown = sorted(set(config) - {"image_size", "crop", "resample"})
        if unknown or "image_size" not in config:
            problem = f"has unknown keys {', '.join(unknown)}" if unknown else "lacks image_size"
            raise SpecError(f"the transform {problem}; its keys are image_size, crop, resample")
        if config.get("resample", "bilinear") != "bilinear":
            raise SpecError(f"resample is {config['resample']!r}; this version knows bilinear")
        return cls(config["image_size"], config.get("crop", "center"))


def load_image(data: bytes, transform: Transform, out: U8) -> tuple[int, int]:
    """Decode an image, cut its largest centred square and resize that into a slot of a batch.

    An image that is S × S already comes through bit for bit. Decoding and resizing release the interpreter's lock,
    so a thread pool may call this; torch starts no threads of its own after `torch.set_num_threads(1)`.

    Args:
        data: a whole image file.
        transform: its size is S.
        out: uint8 of shape (S, S, 3), contiguous; written in RGB.

    Returns:
        Width and height of the image as it is to be looked at, before the transform.

    Raises:
        ImageError: nothing of use is in `out` then.
    """
    pixels = decode(data)
    height, width = pixels.shape[:2]
    try:
        _resize(_square(pixels), out)
    except Exception as error:
        raise ImageError("transform", type(error).__name__, str(error)[:500]) from error
    return width, height


def _square(pixels: U8) -> U8:
    """The largest centred square, as a view; of an odd remainder the smaller half goes to the left and top."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _resize(square: U8, out: U8) -> None:
    """Antialiased bilinear resize into `out`.

    The operator behind F.interpolate(uint8 channels-last, mode="bilinear", antialias=True), with the same bits;
    called directly, since dispatch and a further copy would cost as much as a third of it.
    """
    if square.shape == out.shape:
        np.copyto(out, square)
        return
    import torch  # not at the top: a job is planned, and found to be done, without it

    source = torch.from_numpy(square)[None].permute(0, 3, 1, 2)
    target = torch.from_numpy(out)[None].permute(0, 3, 1, 2)
    size = [out.shape[0], out.shape[1]]
    upsample: Any = torch._C._nn._upsample_bilinear2d_aa
    upsample(source, size, False, None, out=target)
