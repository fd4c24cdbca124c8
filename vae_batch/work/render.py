"""Latents to pixels: one pass through the decoder, of one shape, checked for values that are not finite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from vae_batch.models import memory_watched
from vae_batch.specs import Precision
from vae_batch.work.loaded import LoadedModel, ModelJob

LIBRARIES = ("pillow", "simplejpeg", "pyarrow")

F32 = npt.NDArray[np.float32]


@dataclass(slots=True)
class Pictures:
    """What the decoder gave for B latents."""

    pixels: npt.NDArray[np.uint8]
    """(B, H, W, C)."""
    finite: npt.NDArray[np.bool_]
    """(B,): which are made of finite values only; the others' pixels mean nothing."""
    repaired: npt.NDArray[np.bool_]
    """(B,): which were made in fp32, because the job's precision gave no finite values."""


class Renderer(LoadedModel):
    """Decodes batches of latents with the job's model.

    Args:
        job: the job.
        device: "cpu" or "cuda".
    """

    def __init__(self, job: ModelJob, device: str) -> None:
        super().__init__(job, device, LIBRARIES)
        self.job = job

    def __call__(self, latents_BD: F32) -> Pictures:
        """Decode B flat latents. Raises DeviceMemoryError: so many at once are too many."""
        with memory_watched(self.device, len(latents_BD), "decoding"):
            pixels, finite = self._run(latents_BD, self.job.precision)
            repaired = np.zeros(len(finite), bool)
            if self.job.precision != "fp32" and not finite.all():
                again, finite_again = self._run(latents_BD, "fp32")
                repaired = ~finite & finite_again
                pixels[repaired], finite = again[repaired], finite | finite_again
        return Pictures(pixels, finite, repaired)

    def _run(self, latents_BD: F32, precision: Precision) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        model = self.model(precision)
        with torch.inference_mode():
            z = torch.from_numpy(latents_BD).to(self.device).view(-1, *self.job.card.latent_shape)
            x_BCHW = model.decode(z)
            finite = x_BCHW.isfinite().all(dim=3).all(dim=2).all(dim=1)
            pixels = (x_BCHW.nan_to_num_(0.0) * 255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)
            return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy(), finite.cpu().numpy()
