"""Pixels to latents: one forward pass of one shape, checked for values that are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vae_batch.models import memory_watched
from vae_batch.models.arrays import to_float
from vae_batch.specs import Precision
from vae_batch.types import Scaling
from vae_batch.work.job import EncodeJob
from vae_batch.work.loaded import LoadedModel

LIBRARIES = ("pillow", "simplejpeg", "pyarrow")

FLOAT16_MAX = 65504.0


@dataclass(slots=True)
class Latents:
    """What the model gave for a batch of B slots, on the CPU; float32."""

    mean: np.ndarray
    """(B, D)."""
    variance: np.ndarray | None
    """(B, D); None for a deterministic autoencoder."""
    kl: np.ndarray | None
    """(B,), nats."""
    mse: np.ndarray | None
    """(B,), with diagnostics."""

    def finite(self) -> np.ndarray:
        """Which slots hold finite values only."""
        ok = np.isfinite(self.mean).all(1)
        for values in (self.variance, self.kl, self.mse):
            if values is not None:
                ok &= np.isfinite(values.reshape(len(ok), -1)).all(1)
        return np.asarray(ok)

    def fits_float16(self) -> np.ndarray:
        """Which slots' means and draws (to eight sigma) float16 can hold."""
        spread = 0.0 if self.variance is None else 8.0 * np.sqrt(self.variance)
        return np.asarray((np.abs(self.mean) + spread < FLOAT16_MAX).all(1))

    def scaled(self, scaling: Scaling | None) -> Latents:
        """Scale mean and variance; the KL stays what it was, since the prior is scaled with the posterior."""
        if scaling is None:
            return self
        shift, factor = (np.array(values, np.float32)[:, None] for values in (scaling.shift, scaling.factor))
        channels = max(len(shift), len(factor))
        mean = (self.mean.reshape(len(self.mean), channels, -1) - shift) * factor
        self.mean = mean.reshape(self.mean.shape)
        if self.variance is not None:
            variance = self.variance.reshape(mean.shape) * factor**2
            self.variance = variance.reshape(self.mean.shape)
        return self

    def take(self, other: Latents, slots: np.ndarray) -> None:
        """Replace some slots by another's."""
        for name in ("mean", "variance", "kl", "mse"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None:
                mine[slots] = theirs[slots]

    def at(self, slots: Sequence[int]) -> Latents:
        """Give those of some slots."""
        variance, kl, mse = (None if x is None else x[slots] for x in (self.variance, self.kl, self.mse))
        return Latents(self.mean[slots], variance, kl, mse)

    @classmethod
    def concatenate(cls, parts: Sequence[Latents]) -> Latents:
        """Put the slots of several of one model behind each other."""
        variance, kl, mse = (_joined([getattr(p, name) for p in parts]) for name in ("variance", "kl", "mse"))
        return cls(np.concatenate([p.mean for p in parts]), variance, kl, mse)


def _joined(arrays: list[np.ndarray | None]) -> np.ndarray | None:
    found = [array for array in arrays if array is not None]
    return np.concatenate(found) if found else None


class Forward(LoadedModel):
    """Encodes batches with the job's model.

    Args:
        job: the job.
        device: "cpu" or "cuda".
    """

    def __init__(self, job: EncodeJob, device: str) -> None:
        super().__init__(job, device, LIBRARIES)
        self.job = job

    def __call__(self, pixels: np.ndarray, used: np.ndarray) -> tuple[Latents, set[int]]:
        """Encode a batch.

        Args:
            pixels: uint8 (B, S, S, 3), all of B whatever is in it, so that the shape never changes.
            used: bool (B,), the slots that hold an image.

        Returns:
            The latents, and the slots whose values were taken from fp32 because those of the job's precision are
            not finite.

        Raises:
            DeviceMemoryError: so many images at once are too many.
        """
        with memory_watched(self.device, len(pixels)):
            return self._repaired(pixels, used)

    def _repaired(self, pixels: np.ndarray, used: np.ndarray) -> tuple[Latents, set[int]]:
        latents = self._run(pixels, self.job.precision)
        spoiled = used & ~latents.finite()
        if self.job.precision == "fp32" or not spoiled.any():
            return latents, set()
        latents.take(self._run(pixels, "fp32"), spoiled)
        return latents, set(np.flatnonzero(spoiled).tolist())

    def _run(self, pixels: np.ndarray, precision: Precision) -> Latents:
        model = self.model(precision)
        with torch.inference_mode():
            x = to_float(torch.from_numpy(pixels).to(self.device))
            if self.job.card.in_channels == 1:
                x = _luma(x)
            posterior = model.encode(x)
            mse = None
            if self.job.schema.diagnostics:
                error = model.decode(posterior.mean).float() - x
                mse = error.square().mean(dim=(1, 2, 3)).cpu().numpy()
            mean = posterior.mean.flatten(1).cpu().numpy()
            variance, kl = posterior.variance, posterior.kl()
            if variance is None or kl is None:
                latents = Latents(mean, None, None, mse)
            else:
                latents = Latents(mean, variance.flatten(1).cpu().numpy(), kl.cpu().numpy(), mse)
            return latents.scaled(self.job.schema.scaling)


def _luma(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Gray as ITU-R BT.601 has it, (B, 1, H, W)."""
    weights = x_BCHW.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (x_BCHW * weights).sum(1, keepdim=True)
