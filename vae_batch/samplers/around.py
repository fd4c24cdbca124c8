"""Around encoded images: draws from their posteriors, or the means themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vae_batch.latents.posteriors import Posteriors
from vae_batch.latents.sampling import draw_samples
from vae_batch.latents.take import numbers
from vae_batch.samplers.base import F32, Drawn


@dataclass(frozen=True, slots=True)
class Posterior:
    """Image i is draw i mod K of encoded image i div K: mean + sqrt(variance)·noise(seed, source id, draw).

    With the seed of the encoding these are the values that `encode --samples K` stores, to the bit.
    """

    posteriors: Posteriors
    seed: int
    draws: int
    """K."""

    @property
    def total(self) -> int:
        """K for each encoded image."""
        return self.posteriors.total * self.draws

    def columns(self) -> list[pa.Field]:
        """Say of which image, and which draw."""
        return [pa.field("source_id", pa.string()), pa.field("draw", pa.int32())]

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        index = np.arange(first, max(first, min(first + count, self.total)))
        sources = np.unique(index // self.draws)
        latents = np.zeros((count, self.posteriors.dims), np.float32)
        ids = [""] * count
        if len(index):
            table = self.posteriors.take(sources)
            variance = None if table["variance"].null_count else numbers(table["variance"], np.float32)
            mean, names = numbers(table["mean"], _stored(table["mean"])), table["id"].to_pylist()
            drawn = draw_samples(mean, variance, self.seed, names, self.draws).reshape(-1, self.posteriors.dims)
            latents[: len(index)] = drawn[index - sources[0] * self.draws]
            ids[: len(index)] = [names[i] for i in index // self.draws - sources[0]]
        return Drawn(latents, {"source_id": ids, "draw": (np.arange(first, first + count) % self.draws).tolist()})


@dataclass(frozen=True, slots=True)
class Reconstruct:
    """Image i is decoded from the mean of encoded image i."""

    posteriors: Posteriors

    @property
    def total(self) -> int:
        """One for each encoded image."""
        return self.posteriors.total

    def columns(self) -> list[pa.Field]:
        """Say of which image."""
        return [pa.field("source_id", pa.string())]

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        index = np.arange(first, max(first, min(first + count, self.total)))
        latents: F32 = np.zeros((count, self.posteriors.dims), np.float32)
        ids = [""] * count
        if len(index):
            latents[: len(index)], ids[: len(index)] = self.posteriors.means(index)
        return Drawn(latents, {"source_id": ids})


def _stored(column: pa.ChunkedArray) -> type[np.floating]:
    """The type of its numbers: draws are rounded to it, as when encoding."""
    return np.float16 if pa.types.is_float16(column.type.value_type) else np.float32
