"""A Gaussian mixture over latents, and the small file that keeps it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from vae_batch import storage
from vae_batch.errors import OutputError

F64 = npt.NDArray[np.float64]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Density:
    """sum_k weights[k]·N(means[k], scales[k] scales[k]^T); one component is a Gaussian."""

    weights: F64
    """(K,), positive, of sum 1."""
    means: F64
    """(K, D)."""
    scales: F64
    """(K, D, D), lower triangular: Cholesky factors of the covariances."""
    facts: Mapping[str, Any]
    """What it was fitted to: model digest, latents, where, rows, passes, bound in nats …"""

    @property
    def dims(self) -> int:
        """D, numbers of a latent."""
        return int(self.means.shape[1])

    def to_bytes(self) -> bytes:
        """Give the content of the file: safetensors, float64, the facts as JSON."""
        known = json.dumps({"format": FORMAT, **self.facts}, sort_keys=True)
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in ("weights", "means", "scales")}
        return bytes(safetensors.numpy.save(tensors, {"vae_batch.fit": known}))


def read_density(location: str) -> tuple[Density, str]:
    """Read a fit file; give the density and the sha256 of the file.

    Raises:
        OutputError: it is missing, or no fit file.
    """
    try:
        data = storage.read_bytes(location)
    except (FileNotFoundError, IsADirectoryError):
        raise OutputError(f"{location}: there is no such fit file") from None
    try:
        (length,) = struct.unpack("<Q", data[:8])
        facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["vae_batch.fit"])
        if facts.pop("format") != FORMAT or not facts["model"]:
            raise OutputError(f"{location}: written by another version of vae_batch; use that one, or fit again")
        density = Density(**safetensors.numpy.load(data), facts=facts)
        components, dims = density.means.shape
        if density.weights.shape != (components,) or density.scales.shape != (components, dims, dims):
            raise ValueError("shapes that do not go together")
    except (SafetensorError, struct.error, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{location} is no fit that `generate --sampler fitted` wrote: {error!r}") from None
    return density, storage.bytes_sha256(data)


@lru_cache(maxsize=1)
def kept_density(location: str, sha256: str) -> Density:
    """Read the fit file of a job, once in a process. Raises OutputError: it is not the one that the job file names."""
    density, found = read_density(location)
    if found != sha256:
        raise OutputError(f"{location} is not the fit that the job file names: its content was changed")
    return density
