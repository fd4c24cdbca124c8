"""Where the latents of generated images come from: each sampler gives latent and origin of any image by its number."""

from vae_batch.samplers.around import Posterior, Reconstruct
from vae_batch.samplers.base import Drawn, Sampler
from vae_batch.samplers.density import Density, kept_density, read_density
from vae_batch.samplers.fit import check_size, fit
from vae_batch.samplers.fitted import Fitted
from vae_batch.samplers.given import Given, open_given
from vae_batch.samplers.prior import Prior

__all__ = [
    "Density",
    "Drawn",
    "Fitted",
    "Given",
    "Posterior",
    "Prior",
    "Reconstruct",
    "Sampler",
    "check_size",
    "fit",
    "kept_density",
    "open_given",
    "read_density",
]
