"""The network that a spec asks for."""

from __future__ import annotations

from vae_batch.errors import SpecError
from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.specs import TrainSpec

TrainableVAE = ConvVAE


def build_model(spec: TrainSpec) -> TrainableVAE:
    """Make the network with random weights.

    Raises:
        SpecError: the architecture is not here.
        ModelError: the image size does not suit it.
    """
    if spec.architecture != "conv":
        raise SpecError(f"architecture={spec.architecture}: known here is conv")
    more = {} if spec.width is None else {"width": spec.width}
    return ConvVAE(ConvConfig(image_size=spec.image_size, latent_dim=spec.latent_dim, **more))
