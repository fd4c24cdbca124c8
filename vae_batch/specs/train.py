"""What `train` is told."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from vae_batch.specs.base import Seed
from vae_batch.specs.images import ImagesSpec


class TrainSpec(ImagesSpec):
    """What `train` is told."""

    kind: Literal["train"] = "train"
    out: str
    """Folder of the model: config.json, model.safetensors, metrics.jsonl."""
    architecture: Literal["conv", "resnet", "burgess"] = "conv"
    """conv: small and fast; resnet: residual, 64 to 256 pixels; burgess: of the published β-VAE, 64 pixels."""
    image_size: int = Field(default=64, ge=16, le=512)
    """Pixels a side."""
    latent_dim: int = Field(default=64, ge=1, le=4096)
    """Dimensions of the posterior; with `latent_grid`, its channels."""
    latent_grid: int | None = Field(default=None, ge=1, le=64)
    """resnet: the latent is a map of so many places a side; None: a vector."""
    width: int | None = Field(default=None, ge=4, le=512)
    """Channels of the finest level; None: the architecture's own."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over the images."""
    steps: int | None = Field(default=None, ge=1)
    """Give one of the two; with neither, 20 epochs."""
    batch_size: int = Field(default=32, ge=2)
    """Images per step, over all workers; small, since a short training gains more by steps than by large batches."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of AdamW, at its highest."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of AdamW."""
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    """p(x|z): gaussian with one variance, or bernoulli per pixel and channel."""
    sigma: float | None = Field(default=None, gt=0)
    """gaussian: its standard deviation, pixels in [0, 1]; None: the optimal one of each batch."""
    terms: Literal["elbo", "reconstruction", "kl"] = "elbo"
    """Which terms of the loss are trained; one alone shows what the other is for."""
    beta: float = Field(default=1.0, ge=0)
    """Weight of the rate."""
    kl_warm_up: int = Field(default=0, ge=0)
    """Steps over which the rate's weight rises from 0."""
    free_bits: float = Field(default=0.0, ge=0)
    """Nats per dimension below which the rate is not pressed further."""
    capacity: float | None = Field(default=None, gt=0)
    """Nats: the rate is held at a target that rises to this (Burgess et al. 2018), weighed by `beta`."""
    capacity_steps: int | None = Field(default=None, ge=1)
    """Steps over which that target rises; None: half of all."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of the average of the weights that is saved and validated; 0: the last weights."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What the convolutions compute in while training; auto: bf16 where the hardware multiplies it faster."""
    compile: bool = False
    """Through `torch.compile`: pays on GPUs and in long trainings."""
    validation: float = Field(default=0.05, ge=0, lt=1)
    """Share of the images held out, chosen by id; 0: none."""
    workers: int = Field(default=1, ge=1)
    """Processes that share each batch; more than one: by Ray Train."""
    address: str | None = None
    """Ray cluster of several workers; None: RAY_ADDRESS, else a private one on this machine."""
    cache: str | None = None
    """Folder of the decoded images; None: in OUT, while training."""
    checkpoint_seconds: float = Field(default=300.0, gt=0)
    """Between checkpoints, from which the same command goes on."""
    logger: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Beside metrics.jsonl."""
    report: bool = False
    """Leave curves, reconstructions, traversals and KL by dimension in OUT/report."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where torch sees a device."""
    seed: Seed = 0
    """Of weights, order and draws."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        if self.sigma is not None and self.likelihood == "bernoulli":
            raise ValueError("sigma is of the gaussian likelihood; a bernoulli one has none")
        if self.capacity is not None and self.free_bits:
            raise ValueError("give capacity or free_bits, not both: each says how small the rate may become")
        if self.capacity_steps is not None and self.capacity is None:
            raise ValueError("capacity_steps says how long the capacity rises: give capacity too")
        return self

    @model_validator(mode="after")
    def _a_rate_to_press(self) -> Self:
        unpressed = "terms=reconstruction" if self.terms == "reconstruction" else "beta=0" if not self.beta else None
        told = {"capacity": self.capacity, "free_bits": self.free_bits, "kl_warm_up": self.kl_warm_up}
        if self.terms == "reconstruction":
            told["beta"] = self.beta != 1
        elif self.terms == "kl":
            told["terms=kl"] = not self.beta
        if unpressed and (vain := next(filter(told.get, told), None)):
            raise ValueError(
                f"{unpressed} leaves the rate out of the loss, and {vain} is about it: leave one of them out"
            )
        return self

    @field_validator("logger", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value
