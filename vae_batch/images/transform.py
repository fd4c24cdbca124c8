"""From an image file to the square that the model takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from vae_batch.errors import SpecError
from vae_batch.images.align import align
from vae_batch.images.crop import Fit, Labels, Patch, cutter
from vae_batch.images.errors import ImageError
from vae_batch.images.modes import U8
from vae_batch.images.reduced import decode_reduced, whole
from vae_batch.types import BOX_COLUMNS, LANDMARK_COLUMNS

Decoding = Literal["exact", "fast"]

_DEFAULTS = {"resample": "bilinear", "fit": "cover", "decode": "exact"}


class Cut(Protocol):
    """A part of an image of known size, to be drawn into a square."""

    @property
    def shrink(self) -> float:
        """By how much it is made smaller; below 1 it is enlarged."""

    def draw(self, pixels: U8, out: U8, reduction: int = 1) -> None:
        """Draw into (S, S, 3); `pixels` is the image at 1/reduction of its size."""


@dataclass(frozen=True, slots=True)
class Transform:
    """Crop, fit and antialiased resize. Part of a model's config and of the fingerprint.

    All places are in pixels of the upright image, EXIF orientation applied: what viewers show, what OpenCV reads, and
    what the columns `width` and `height` say. CelebA's files have no orientation.
    """

    size: int
    """Side of the square in pixels, S."""
    crop: str = "center"
    """`none`, `center`, `center:N`, `WxH+X+Y` and `box` as in `crop.cutter`; a rectangle that leaves the image is a
    reject of stage "transform", since every image is to be cut alike. `landmarks`: as in `align.align`, black beyond
    the image's edge; `fit` has nothing to do then."""
    fit: Fit = "cover"
    """How what was cut becomes a square; see `crop.Patch.fitted`."""
    decode: Decoding = "exact"
    """fast: a JPEG that is shrunk by two, four or eight or more is decoded at that fraction of its size. On photographs
    of 178×218 to 64 that is 1.0 to 1.3 times as fast as exact, with a PSNR of 41 to 44 dB between the two; of 1024×1024
    to 256, 128 or 64, 2.1 to 2.5 times, with 40 to 47 dB (tests/benchmarks/decode.py)."""

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 1:
            raise SpecError(f"image_size is {self.size!r}; it must be a whole number of pixels, 1 or more")
        if self.crop != "landmarks":
            cutter(str(self.crop))
        for name, value, known in [("fit", self.fit, get_args(Fit)), ("decode", self.decode, get_args(Decoding))]:
            if value not in known:
                raise SpecError(f"{name} is {value!r}; it must be one of {', '.join(known)}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The labels that it needs of every image."""
        return {"box": BOX_COLUMNS, "landmarks": LANDMARK_COLUMNS}.get(self.crop, ())

    def cut(self, width: int, height: int, labels: Labels) -> Cut:
        """What it takes from an image of this size. Raises ImageError where that cannot be."""
        if self.crop == "landmarks":
            return align(width, height, labels, self.size)
        return Patch.fitted(cutter(self.crop)(width, height, labels), self.fit, self.size)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a model's config; `fit` and `decode` only where they are not the default, so that what
        earlier versions wrote is the same."""
        config = {"image_size": self.size, "crop": self.crop, "resample": "bilinear"}
        chosen = {"fit": self.fit, "decode": self.decode}
        return config | {name: value for name, value in chosen.items() if value != _DEFAULTS[name]}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Transform:
        """The inverse of `to_dict`. Raises SpecError on a key or a value that is not known."""
        values = {"crop": "center", **_DEFAULTS, **config}
        known = ["image_size", "crop", "resample", "fit", "decode"]
        unknown = sorted(set(values) - set(known))
        if unknown or "image_size" not in config:
            problem = f"has unknown keys {', '.join(unknown)}" if unknown else "lacks image_size"
            raise SpecError(f"the transform {problem}; its keys are {', '.join(known)}")
        if values["resample"] != "bilinear":
            raise SpecError(f"resample is {values['resample']!r}; this version knows bilinear")
        return cls(values["image_size"], values["crop"], values["fit"], values["decode"])


def load_image(data: bytes, transform: Transform, out: U8, labels: Labels = None) -> tuple[int, int]:
    """Decode an image, cut it and resize that into a slot of a batch.

    A cut that is S × S already comes through bit for bit. Decoding and resizing release the interpreter's lock,
    so a thread pool may call this; torch starts no threads of its own after `torch.set_num_threads(1)`.

    Args:
        data: a whole image file.
        transform: its size is S.
        out: uint8 of shape (S, S, 3), contiguous; written in RGB.
        labels: of the image; must hold `transform.columns`.

    Returns:
        Width and height of the image as it is to be looked at, before the transform.

    Raises:
        ImageError: nothing of use is in `out` then.
    """
    fast = transform.decode == "fast"
    try:
        picture = decode_reduced(data, lambda w, h: transform.cut(w, h, labels).shrink) if fast else None
        picture = picture or whole(data)
        cut = transform.cut(picture.width, picture.height, labels)
        cut.draw(picture.pixels, out, picture.reduction)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError("transform", type(error).__name__, str(error)[:500]) from error
    return picture.width, picture.height
