"""Pixels to latents: one forward pass of one shape, checked for values that are not finite."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np
import torch

from vae_batch.errors import ModelError
from vae_batch.models import VAE, load_model, memory_watched
from vae_batch.models.arrays import to_float
from vae_batch.specs import Precision
from vae_batch.types import Scaling
from vae_batch.work.job import EncodeJob

BATCH_SIZE = {"cpu": 64, "cuda": 256}
"""Images of up to `FULL_BATCH_SIDE` pixels a side per forward pass, where the spec does not say; fewer if larger."""

FULL_BATCH_SIDE = 128

FLOAT16_MAX = 65504.0


@dataclass(slots=True)
class Latents:
    """What the model gave for a batch of B slots, on the CPU; float32."""

    mean: np.ndarray
    """(B, D)."""
    variance: np.ndarray | None
    """(B, D); None for a deterministic autoencoder."""
    kl: np.ndarray | None
    """(B,), nats."""
    mse: np.ndarray | None
    """(B,), with diagnostics."""

    def finite(self) -> np.ndarray:
        """Which slots hold finite values only."""
        ok = np.isfinite(self.mean).all(1)
        for values in (self.variance, self.kl, self.mse):
            if values is not None:
                ok &= np.isfinite(values.reshape(len(ok), -1)).all(1)
        return np.asarray(ok)

    def fits_float16(self) -> np.ndarray:
        """Which slots' means and draws (to eight sigma) float16 can hold."""
        spread = 0.0 if self.variance is None else 8.0 * np.sqrt(self.variance)
        return np.asarray((np.abs(self.mean) + spread < FLOAT16_MAX).all(1))

    def scaled(self, scaling: Scaling | None) -> Latents:
        """Scale mean and variance; the KL stays what it was, since the prior is scaled with the posterior."""
        if scaling is None:
            return self
        shift, factor = (np.array(values, np.float32)[:, None] for values in (scaling.shift, scaling.factor))
        channels = max(len(shift), len(factor))
        mean = (self.mean.reshape(len(self.mean), channels, -1) - shift) * factor
        self.mean = mean.reshape(self.mean.shape)
        if self.variance is not None:
            variance = self.variance.reshape(mean.shape) * factor**2
            self.variance = variance.reshape(self.mean.shape)
        return self

    def take(self, other: Latents, slots: np.ndarray) -> None:
        """Replace some slots by another's."""
        for name in ("mean", "variance", "kl", "mse"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None:
                mine[slots] = theirs[slots]

    def at(self, slots: Sequence[int]) -> Latents:
        """Give those of some slots."""
        variance, kl, mse = (None if x is None else x[slots] for x in (self.variance, self.kl, self.mse))
        return Latents(self.mean[slots], variance, kl, mse)

    @classmethod
    def concatenate(cls, parts: Sequence[Latents]) -> Latents:
        """Put the slots of several of one model behind each other."""
        variance, kl, mse = (_joined([getattr(p, name) for p in parts]) for name in ("variance", "kl", "mse"))
        return cls(np.concatenate([p.mean for p in parts]), variance, kl, mse)


def _joined(arrays: list[np.ndarray | None]) -> np.ndarray | None:
    found = [array for array in arrays if array is not None]
    return np.concatenate(found) if found else None


class Forward:
    """The job's model on a device; loads a second copy in fp32 only if reduced precision fails.

    Args:
        job: the job.
        device: "cpu" or "cuda".
    """

    def __init__(self, job: EncodeJob, device: str) -> None:
        _settle_torch(device)
        self.job, self.device = job, device
        self.batch_size = self._asked = job.batch_size or job.card.nearest_batch(
            default_batch(device, job.transform.size)
        )
        """Images at once, in the unit that is being made."""
        self._models: dict[Precision, VAE] = {}
        with memory_watched(device):
            self._model(job.precision)

    def at_most(self, most: int | None) -> int:
        """The job's batch size, or a smaller one that the model takes."""
        return self.job.card.nearest_batch(min(self._asked, most or self._asked))

    def __call__(self, pixels: np.ndarray, used: np.ndarray) -> tuple[Latents, set[int]]:
        """Encode a batch.

        Args:
            pixels: uint8 (B, S, S, 3), all of B whatever is in it, so that the shape never changes.
            used: bool (B,), the slots that hold an image.

        Returns:
            The latents, and the slots whose values were taken from fp32 because those of the job's precision are
            not finite.

        Raises:
            DeviceMemoryError: so many images at once are too many.
        """
        with memory_watched(self.device, len(pixels)):
            return self._repaired(pixels, used)

    def _repaired(self, pixels: np.ndarray, used: np.ndarray) -> tuple[Latents, set[int]]:
        latents = self._run(pixels, self.job.precision)
        spoiled = used & ~latents.finite()
        if self.job.precision == "fp32" or not spoiled.any():
            return latents, set()
        latents.take(self._run(pixels, "fp32"), spoiled)
        return latents, set(np.flatnonzero(spoiled).tolist())

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
        names = ["torch", "numpy", "pillow", "simplejpeg", "pyarrow"]
        names += ["diffusers"] if self.job.card.family == "diffusers" else []
        return {"device": device, "capability": capability, **{name: version(name) for name in names}}

    def _run(self, pixels: np.ndarray, precision: Precision) -> Latents:
        model = self._model(precision)
        with torch.inference_mode():
            x = to_float(torch.from_numpy(pixels).to(self.device))
            if self.job.card.in_channels == 1:
                x = _luma(x)
            posterior = model.encode(x)
            mse = None
            if self.job.schema.diagnostics:
                error = model.decode(posterior.mean).float() - x
                mse = error.square().mean(dim=(1, 2, 3)).cpu().numpy()
            mean = posterior.mean.flatten(1).cpu().numpy()
            variance, kl = posterior.variance, posterior.kl()
            if variance is None or kl is None:
                latents = Latents(mean, None, None, mse)
            else:
                latents = Latents(mean, variance.flatten(1).cpu().numpy(), kl.cpu().numpy(), mse)
            return latents.scaled(self.job.schema.scaling)

    def _model(self, precision: Precision) -> VAE:
        if precision not in self._models:
            model = load_model(self.job.model, self.job.transform.size, self.job.trust_model_code)
            if model.card.digest != self.job.card.digest:
                raise ModelError(
                    f"--model {self.job.model} is not the same here as where the job was begun: digest "
                    f"{model.card.digest[:16]}…, not {self.job.card.digest[:16]}…. Its files changed, or differ "
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


def _luma(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Gray as ITU-R BT.601 has it, (B, 1, H, W)."""
    weights = x_BCHW.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (x_BCHW * weights).sum(1, keepdim=True)


def _settle_torch(device: str) -> None:
    """Set what makes equal input give equal bytes: one thread on CPU, no autotuning, no TF32 on GPU."""
    if device == "cpu":
        torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
