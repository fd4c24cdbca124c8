"""What everything downstream knows of a model: the protocol `VAE` and the card that describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

from vae_batch.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from vae_batch.models.gaussian import DiagonalGaussian

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model in words and numbers: enough to plan a job, and to tell whether two models are the same."""

    family: str
    """`conv`, `resnet`, `burgess` (built in), `diffusers`, `module` (a torch module of the user's), `exported` (a
    program), or a plug-in's name."""
    reference: str
    """As the user gave it."""
    digest: str
    """SHA-256, hex, of what determines the model's values: weights, architecture, a user's source. Not of where
    it lies, nor of how it was trained."""
    image_size: int | None
    """Pixels a side; None where the model takes any and names none."""
    in_channels: int
    """3 for RGB, 1 for gray."""
    latent_shape: tuple[int, ...]
    """Shape of one image's latent."""
    deterministic: bool
    """True for an autoencoder without a variance."""
    parameters: int
    """How many numbers were learnt."""
    transform: dict[str, Any] | None = None
    """How training cropped and resized its images; None where that is unknown."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What else is known: how it was trained."""
    decodes: bool = True
    """False for an encoder without a decoder."""
    batch_sizes: tuple[int, int | None] | None = None
    """The least and the most images in a batch that the model takes (no most: None); None: any number."""
    scaling: dict[str, Any] | None = None
    """`scaling_factor`, `shift_factor`, `latents_mean`, `latents_std`, as diffusers names what makes the latents those
    that its diffusion models take (see `types.Scaling`); None where the model names none."""
    force_upcast: bool = False
    """True for a model whose activations do not fit fp16."""

    @property
    def least_batch(self) -> int:
        """Images in the smallest batch that the model takes."""
        return self.nearest_batch(1)

    def nearest_batch(self, wanted: int) -> int:
        """Give the number of images in a batch that the model takes and that is nearest to the one wanted."""
        low, high = self.batch_sizes or (1, None)
        return max(low, wanted if high is None else min(wanted, high))

    def runs_in(self, precision: Precision) -> Precision:
        """Give what the model computes in when it is asked for some precision: fp32 for fp16 where it must."""
        return "fp32" if precision == "fp16" and self.force_upcast else precision

    def to_dict(self) -> dict[str, Any]:
        """Give the card as JSON has it."""
        return asdict(self) | {"latent_shape": list(self.latent_shape)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            ModelError: a key is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        try:
            if unknown := set(value) - known:
                raise ModelError(f"the model card has unknown keys: {', '.join(sorted(unknown))}")
            batches = tuple(value["batch_sizes"]) if value.get("batch_sizes") else None
            return cls(**{**value, "latent_shape": tuple(value["latent_shape"]), "batch_sizes": batches})
        except (KeyError, TypeError) as error:
            raise ModelError(f"the model card is incomplete: {error}") from None


@runtime_checkable
class VAE(Protocol):
    """A model that is ready to encode and decode; all pixels are floats in [0, 1]."""

    card: ModelCard

    def prepare(self, device: str, precision: Precision) -> VAE:
        """Make ready for inference and give itself: device, evaluation mode, no gradients, arithmetic.

        At a fixed batch shape an image's values then depend neither on its place in the batch nor on the others.
        """
        ...

    def encode(self, x_BCHW: Tensor) -> DiagonalGaussian:
        """Give the posteriors of float32 images in [0, 1], in float32."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Give the images of latents (B, *latent): (B, C, H, W) float32 in [0, 1]."""
        ...
