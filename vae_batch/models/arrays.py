"""Images as arrays to a model and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_batch.models.base import VAE

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

BATCH = 64


def to_float(images_NHWC: Tensor) -> Tensor:
    """Turn uint8 (N, H, W, C) into float32 (N, C, H, W) in [0, 1]; channels lie last in memory."""
    return images_NHWC.permute(0, 3, 1, 2).float().div_(255.0)


@torch.inference_mode()
def encode_pixels(model: VAE, images_NHWC: U8) -> tuple[F32, F32]:
    """Give the posteriors' mean and variance, (N, D) each, latents flat; variance 0 for a deterministic autoencoder.

    Args:
        model: takes RGB.
        images_NHWC: uint8, of the model's size.
    """
    means, variances = [], []
    for part in torch.split(torch.from_numpy(images_NHWC), BATCH):
        posterior = model.encode(to_float(part))
        mean, variance = posterior.mean, posterior.variance
        means.append(mean.flatten(1))
        variances.append((torch.zeros_like(mean) if variance is None else variance).flatten(1))
    return torch.cat(means).numpy(), torch.cat(variances).numpy()


@torch.inference_mode()
def decode_pixels(model: VAE, z_ND: F32) -> U8:
    """Give the images of flat latents: (N, H, W, 3) uint8, gray repeated."""
    images = []
    for part in torch.split(torch.from_numpy(np.ascontiguousarray(z_ND, np.float32)), BATCH):
        x_BCHW = model.decode(part.view(-1, *model.card.latent_shape))
        pixels = (x_BCHW * 255.0).round().clamp(0, 255).to(torch.uint8)
        images.append(pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))
    return np.ascontiguousarray(torch.cat(images).numpy())
