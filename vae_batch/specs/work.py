"""What every job on replicas is told: the model, where to write, and how to share the work."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from vae_batch.specs.base import Precision, Seed, Spec


class WorkSpec(Spec):
    """Common to the jobs whose units are made by replicas. Paths are relative to the working directory."""

    model: str
    """A folder that `train` or diffusers wrote, `owner/name` on the hub, `module:callable?key=value`, exported programs
    (.pt2), or `family:argument`."""
    out: str
    """The output data set's folder: new, empty, or the same job's."""
    batch_size: int | None = Field(default=None, ge=1)
    """Images per pass through the network; None: 64 on CPU, 256 on GPU, fewer if they are large."""
    precision: Precision = "fp32"
    """What the network computes in; the mean and log-variance head and the output stay fp32."""
    replicas: int | Literal["auto"] = "auto"
    """Ray actors that hold the model; auto: one a GPU, or one a core on a cluster without GPUs."""
    gpus_per_replica: float | None = Field(default=None, ge=0)
    """None: 1 on a cluster with GPUs, else 0."""
    cpus_per_replica: int | None = Field(default=None, ge=1)
    """Cores reserved, and threads for pictures; None: a GPU node's cores divided by its GPUs, else 1."""
    seed: Seed = 0
    """Of the draws: noise is a function of (seed, id, draw)."""
    trust_model_code: bool = False
    """Allow a model whose file can run code, such as an exported program."""
    unit_size: int | None = Field(default=None, ge=1)
    """Images per unit and part, about; None: a 64th of all, from 256 to 8,192."""
    units: str | None = None
    """`A:B`: only these units of the full plan, now."""
    address: str | None = None
    """Ray cluster; None: RAY_ADDRESS, else a private one on this machine."""
    max_reject_rate: float = Field(default=0.01, ge=0, le=1)
    """Above this share of rejects a finished job ends with exit code 3."""

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
