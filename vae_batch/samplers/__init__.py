"""Where the latents of generated images come from: each sampler gives latent and origin of any image by its number."""

from vae_batch.samplers.around import Posterior, Reconstruct
from vae_batch.samplers.axes import Grid, Traverse
from vae_batch.samplers.base import Drawn, Sampler
from vae_batch.samplers.centre import Centre, mean_and_active
from vae_batch.samplers.density import Density
from vae_batch.samplers.edit import AttributeVector, Edit, attribute_vector
from vae_batch.samplers.fit import check_size, fit
from vae_batch.samplers.fitted import Fitted
from vae_batch.samplers.given import Given, open_given
from vae_batch.samplers.interpolate import Interpolate, read_pairs
from vae_batch.samplers.kept import kept_fit, read_fit
from vae_batch.samplers.prior import Prior

__all__ = [
    "AttributeVector",
    "Centre",
    "Density",
    "Drawn",
    "Edit",
    "Fitted",
    "Given",
    "Grid",
    "Interpolate",
    "Posterior",
    "Prior",
    "Reconstruct",
    "Sampler",
    "Traverse",
    "attribute_vector",
    "check_size",
    "fit",
    "kept_fit",
    "mean_and_active",
    "open_given",
    "read_fit",
    "read_pairs",
]
