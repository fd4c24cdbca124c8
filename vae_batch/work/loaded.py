"""A job's model on a device: what encoding and decoding have in common. No Ray in here."""

from __future__ import annotations

import json
import platform
from functools import cached_property
from importlib.metadata import version
from typing import Protocol

import torch

from vae_batch.errors import ModelError
from vae_batch.models import VAE, ModelCard, load_model, memory_watched
from vae_batch.specs import Precision

BATCH_SIZE = {"cpu": 64, "cuda": 256}
"""Images of up to `FULL_BATCH_SIDE` pixels a side per pass, where the spec does not say; fewer if larger."""

FULL_BATCH_SIDE = 128


class ModelJob(Protocol):
    """What a job says of where it writes and of its model."""

    @property
    def out(self) -> str:
        """Where it writes: a folder here, absolute, or a URI."""

    @property
    def model(self) -> str:
        """The reference, the same in any working directory."""

    @property
    def card(self) -> ModelCard:
        """What the model was when the job was begun."""

    @property
    def image_size(self) -> int:
        """Pixels a side."""

    @property
    def precision(self) -> Precision:
        """What the network computes in."""

    @property
    def batch_size(self) -> int | None:
        """Images at once; None: as many as suit the device."""

    @property
    def trust_model_code(self) -> bool:
        """Whether its file may run code."""


class LoadedModel:
    """The job's model on a device; loads a second copy in fp32 only if reduced precision fails.

    Args:
        job: the job.
        device: "cpu" or "cuda".
        libraries: whose versions, beside torch's and numpy's, may move a value or a byte.
    """

    def __init__(self, job: ModelJob, device: str, libraries: tuple[str, ...]) -> None:
        _settle_torch(device)
        self._job, self.device, self._libraries = job, device, libraries
        self.batch_size = self._asked = job.batch_size or job.card.nearest_batch(default_batch(device, job.image_size))
        """Images at once, in the unit that is being made."""
        self._models: dict[Precision, VAE] = {}
        with memory_watched(device):
            self.model(job.precision)

    def at_most(self, most: int | None) -> int:
        """The job's batch size, or a smaller one that the model takes."""
        return self._job.card.nearest_batch(min(self._asked, most or self._asked))

    @property
    def numerics(self) -> str:
        """Say what may move a value by rounding: batch shape, device kind, library versions. JSON."""
        return json.dumps({"batch_size": self.batch_size, **self._platform})

    @cached_property
    def _platform(self) -> dict[str, str]:
        if self.device == "cuda":
            device, capability = torch.cuda.get_device_name(), str(torch.cuda.get_device_capability())
        else:
            device, capability = platform.machine(), _cpu_capability()
        names = ["torch", "numpy", *self._libraries]
        names += ["diffusers"] if self._job.card.family == "diffusers" else []
        return {"device": device, "capability": capability, **{name: version(name) for name in names}}

    def model(self, precision: Precision) -> VAE:
        """Give the model, ready in a precision. Raises ModelError where it is not the one that the job began with."""
        if precision not in self._models:
            job = self._job
            model = load_model(job.model, job.image_size, job.trust_model_code)
            if model.card.digest != job.card.digest:
                raise ModelError(
                    f"--model {job.model} is not the same here as where the job was begun: digest "
                    f"{model.card.digest[:16]}…, not {job.card.digest[:16]}…. Its files changed, or differ "
                    "between nodes, or its weights depend on more than its arguments and seed"
                )
            self._models[precision] = model.prepare(self.device, precision)
        return self._models[precision]


def default_batch(device: str, side: int) -> int:
    """Choose images per forward pass, a power of two, so that all batches have about as many pixels."""
    most = BATCH_SIZE[device] * FULL_BATCH_SIDE**2 // max(side, FULL_BATCH_SIDE) ** 2
    return 1 << max(0, most.bit_length() - 1)


def _cpu_capability() -> str:
    """The vector instructions, and those for bfloat16, by which oneDNN chooses its kernels."""
    found = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
    short = [name for name in ("avx512_bf16", "amx_tile", "amx_bf16", "amx_fp16") if found.get(name)]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *short])


def _settle_torch(device: str) -> None:
    """Set what makes equal input give equal bytes: one thread on CPU, no autotuning, no TF32 on GPU."""
    if device == "cpu":
        torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
