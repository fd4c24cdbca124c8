"""What every sampler is: a pure function from the number of an image to its latent, and to what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Latents of consecutive images, and where each came from."""

    latents: F32
    """(N, D), raw: what the decoder takes, flat."""
    origin: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """By column of the sampler, one value for each image."""


class Sampler(Protocol):
    """Plain data that travels to the replicas; equal wherever and however often it is asked."""

    @property
    def total(self) -> int | None:
        """How many images there are; None: as many as are asked for."""

    def columns(self) -> list[pa.Field]:
        """Give the columns that say where a latent came from."""

    def draw(self, first: int, count: int) -> Drawn:
        """Give the latents of the images from number `first` on; an image's own depends on nothing but its number."""
