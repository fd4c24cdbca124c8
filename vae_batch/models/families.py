"""The built-in architectures by name; torch is imported where one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from vae_batch.errors import ModelError
from vae_batch.specs import TrainSpec

if TYPE_CHECKING:
    from vae_batch.models.network import NetworkConfig, TrainableVAE


@dataclass(frozen=True, slots=True)
class Family:
    """An architecture."""

    config: Callable[..., NetworkConfig]
    """Its config class; raises ModelError for a shape that it cannot have."""
    network: Callable[[Any], TrainableVAE]
    """Its network class, made from a config."""

    def settings(self) -> list[str]:
        """Give the names of what its config takes."""
        return [field.name for field in fields(self.config)]  # type: ignore[arg-type]


def _conv() -> Family:
    from vae_batch.models.conv import ConvConfig, ConvVAE

    return Family(ConvConfig, ConvVAE)


def _resnet() -> Family:
    from vae_batch.models.resnet import ResNetConfig, ResNetVAE

    return Family(ResNetConfig, ResNetVAE)


def _burgess() -> Family:
    from vae_batch.models.burgess import BurgessConfig, BurgessVAE

    return Family(BurgessConfig, BurgessVAE)


FAMILIES: dict[str, Callable[[], Family]] = {"conv": _conv, "resnet": _resnet, "burgess": _burgess}
"""Names as in TrainSpec.architecture and in config.json."""


def build_model(spec: TrainSpec) -> TrainableVAE:
    """Make the network that a training is told of, with random weights.

    Raises:
        ModelError: as `network_config`.
    """
    return FAMILIES[spec.architecture]().network(network_config(spec))


def network_config(spec: TrainSpec) -> NetworkConfig:
    """Give the shape of that network, so that a wrong one is refused before anything is read.

    Raises:
        ModelError: the image size does not suit the architecture, or it has no such setting.
    """
    wanted = {name: getattr(spec, name) for name in ("image_size", "latent_dim", "latent_grid", "width")}
    given = {name: value for name, value in wanted.items() if value is not None}
    family = FAMILIES[spec.architecture]()
    for name in given.keys() - set(family.settings()):
        having = ", ".join(other for other, load in FAMILIES.items() if name in load().settings())
        raise ModelError(
            f"{name}={given[name]}: the {spec.architecture} network has no {name} to choose; leave it out, or take an "
            f"architecture that has: {having}"
        )
    return family.config(**given)
