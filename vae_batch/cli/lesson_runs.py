"""The trainings of the lesson, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from vae_batch.images import Transform, load_image
from vae_batch.latents.read import LatentData, read_latents
from vae_batch.models import VAE, load_model
from vae_batch.models.arrays import decode_pixels
from vae_batch.sources import open_source, plan_units, read_unit
from vae_batch.specs import TrainSpec
from vae_batch.types import ImageRecord, Tally

SIGMA = 0.7
"""Of the likelihood, in all runs. Fixed and large: with the optimal one, posteriors would be too narrow to be seen."""


@dataclass(frozen=True)
class Run:
    """A training, and what was encoded with it."""

    name: str
    terms: Literal["reconstruction", "kl", "elbo"]
    title: str
    folder: Path
    """Of the lesson; the run has a folder of its name in it."""
    epochs: int
    image_size: int
    latent_dim: int

    @property
    def spec(self) -> TrainSpec:
        """What is trained."""
        return TrainSpec(
            source=str(self.folder / "faces"),
            out=str(self.folder / self.name / "model"),
            image_size=self.image_size,
            latent_dim=self.latent_dim,
            epochs=self.epochs,
            terms=self.terms,
            sigma=SIGMA,
        )

    @cached_property
    def model(self) -> VAE:
        """What was trained."""
        return load_model(self.spec.out)

    @cached_property
    def latents(self) -> LatentData:
        """What `encode` wrote."""
        return read_latents(self.folder / self.name / "latents")

    def decode(self, z: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Give the images of latents."""
        return decode_pixels(self.model, z)

    def faces(self, count: int) -> npt.NDArray[np.uint8]:
        """Give the first faces as the model sees them, (N, S, S, 3), in the order of the rows."""
        transform = Transform.from_dict(self.model.card.transform or {})
        out = np.empty((count, transform.size, transform.size, 3), np.uint8)
        source = open_source(self.spec.source)
        records = (record for unit in plan_units(source) for record in read_unit(source.root, unit, Tally()))
        for slot, record in zip(out, records, strict=False):
            assert isinstance(record, ImageRecord)
            load_image(record.data, transform, slot)
        return out


def runs(folder: Path) -> list[Run]:
    """Give the three runs of two dimensions, and the one of six."""
    plane = partial(Run, folder=folder, image_size=32, latent_dim=2)
    return [
        plane("reconstruction", "reconstruction", "only the reconstruction term", epochs=8),
        plane("kl", "kl", "only the KL term", epochs=2),
        plane("both", "elbo", "both terms, the ELBO", epochs=8),
        Run("six", "elbo", "both terms", folder, epochs=8, image_size=64, latent_dim=6),
    ]
