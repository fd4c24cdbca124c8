"""Specs: everything that a job is told, as frozen models; the same keys in Python, YAML and (with dashes) options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vae_batch.errors import SpecError

Precision = Literal["fp32", "bf16", "fp16"]
Seed = Annotated[int, Field(ge=0, lt=2**64)]


class Spec(BaseModel):
    """Base of the specs: frozen, unknown keys refused, errors as `SpecError`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SpecError(_explain(error, type(self))) from None

    def to_yaml(self) -> str:
        """Write the spec with the keys that differ from their defaults."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        kind = {"kind": self.__dict__["kind"]} if "kind" in self.__dict__ else {}
        text: str = yaml.safe_dump({**kind, **values}, sort_keys=False)
        return text


class ImagesSpec(Spec):
    """Which images, their labels, and how they are cut: common to all that reads a collection."""

    source: str
    """A folder, a shard (tar, zip, Parquet, Arrow), a pattern of shards, or a listing; a path or a URI."""
    image_column: str | None = None
    """Parquet, Arrow, listings: the column of images or paths; None: found by looking."""
    id_column: str | None = None
    """Parquet, Arrow, listings: the column of ids; None: `file#row`, or the path."""
    labels: tuple[str, ...] = ()
    """Files (or folders of them) with labels by image: CSV, Parquet, JSON Lines, CelebA's own."""
    split: Literal["train", "validation", "test"] | None = None
    """Only the images of this part, where labels say which; `valid` is taken for validation."""
    exclude: str | None = None
    """A file of ids or sha256, one a line: images that are left out."""
    crop: str | None = None
    """none, center, center:N, WxH+X+Y, landmarks or box; None: the model's own, else center."""
    fit: Literal["cover", "contain", "stretch"] | None = None
    """How what was cut becomes a square; None: the model's own, else cover."""
    decode: Literal["exact", "fast"] | None = None
    """fast: JPEGs are decoded at a reduced size where they are shrunk by two or more; None: the model's own."""

    @field_validator("labels", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("split", mode="before")
    @classmethod
    def _short_name(cls, value: object) -> object:
        return "validation" if value in ("valid", "val") else value


class EncodeSpec(ImagesSpec):
    """What `encode` is told. Paths are relative to the working directory."""

    kind: Literal["encode"] = "encode"
    model: str
    """A folder that `train` or diffusers wrote, `owner/name` on the hub, `module:callable?key=value`, exported programs
    (.pt2), or `family:argument`."""
    out: str
    """The output data set's folder: new, empty, or the same job's."""
    batch_size: int | None = Field(default=None, ge=1)
    """Images per forward pass; None: 64 on CPU, 256 on GPU."""
    precision: Precision = "fp32"
    """What the network computes in; the mean and log-variance head and the output stay fp32."""
    image_size: int | None = Field(default=None, ge=8, le=4096)
    """Pixels a side; None: the model's own."""
    replicas: int | Literal["auto"] = "auto"
    """Ray actors that hold the model; auto: one a GPU, or one a core on a cluster without GPUs."""
    gpus_per_replica: float | None = Field(default=None, ge=0)
    """None: 1 on a cluster with GPUs, else 0."""
    cpus_per_replica: int | None = Field(default=None, ge=1)
    """Cores reserved, and threads that decode; None: a GPU node's cores divided by its GPUs, else 1."""
    samples: int = Field(default=1, ge=0, le=10_000)
    """Draws per image in the column `sample`."""
    seed: Seed = 0
    """Of the draws: noise is a function of (seed, image id, draw)."""
    diagnostics: bool = False
    """Add `mse` and `psnr` of the reconstruction from the mean."""
    sha256: bool = False
    """Add the digest of each image's bytes."""
    store: Literal["float32", "float16"] = "float32"
    """Type of `mean` and `sample`; the variance is always float32."""
    scaled: bool = False
    """Apply the model's scaling_factor, shift_factor or latents_mean/std to mean, variance and sample; not to kl."""
    trust_model_code: bool = False
    """Allow a model whose file can run code, such as an exported program."""
    unit_size: int | None = Field(default=None, ge=1)
    """Images per unit and part, about; None: a 64th of the collection, from 256 to 8,192."""
    units: str | None = None
    """`A:B`: only these units of the full plan, now."""
    columns: str | None = None
    """`name:type,...`: label columns to keep (string, float64, int64, bool, json); None: found by looking."""
    label_prefix: str = ""
    """Put before every label's name."""
    address: str | None = None
    """Ray cluster; None: RAY_ADDRESS, else a private one on this machine."""
    max_reject_rate: float = Field(default=0.01, ge=0, le=1)
    """Above this share of rejects a finished job ends with exit code 3."""
    hang_seconds: float = Field(default=120, gt=0)
    """An image that takes longer to decode hangs: its replica is killed, and the image rejected if it does so again."""
    retry_rejects: bool = False
    """Make the units that have rejects anew."""
    extend: bool = False
    """Where the source has new files since OUT was begun: encode them, as further units."""

    @field_validator("replicas")
    @classmethod
    def _some_replicas(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("give a number from 1, or auto")
        return value

    @field_validator("units")
    @classmethod
    def _slice(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\d*:\d*", value):
            raise ValueError("give A:B, unit numbers from 0, such as 0:8 for the first eight")
        return value

    def unit_range(self, total: int) -> range:
        """Give the numbers of the units to do, of `total`."""
        start, _, stop = (self.units or ":").partition(":")
        return range(total)[int(start) if start else None : int(stop) if stop else None]


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

    @field_validator("logger", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


KINDS: dict[str, type[Spec]] = {"encode": EncodeSpec, "train": TrainSpec}


def load_spec(path: str | Path) -> Spec:
    """Read a YAML spec; its key `kind` says which.

    Raises:
        SpecError: the file cannot be read, is no mapping, or holds an unknown kind, key or value.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(f"cannot read the spec {path}: {error}") from None
    if not isinstance(values, dict):
        raise SpecError(f"the spec {path} is no mapping of keys to values")
    kind = values.get("kind")
    if kind not in KINDS:
        raise SpecError(f"the spec {path} has kind: {kind!r}; known kinds are {', '.join(KINDS)}")
    try:
        return KINDS[kind](**values)
    except SpecError as error:
        raise SpecError(f"the spec {path}: {error}") from None


def _explain(error: ValidationError, spec: type[Spec]) -> str:
    lines = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {name!r}; the keys are {', '.join(spec.model_fields)}")
        elif item["type"] == "missing":
            lines.append(f"{name} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{name}={item['input']!r}: {message}" if name else message)
    return "; ".join(dict.fromkeys(lines))
