"""Where the latents of generated images come from: each sampler gives latent and origin of any image by its number."""

from vae_batch.samplers.base import Drawn, Sampler
from vae_batch.samplers.prior import Prior

__all__ = ["Drawn", "Prior", "Sampler"]
