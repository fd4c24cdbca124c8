"""Fitted probes, the small file that keeps them, and predicting from it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.probes.linear import F64, apply_map
from vae_batch.probes.scores import sigmoid

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Score:
    """What one attribute's probe is worth on rows that it was not fitted on."""

    attribute: str
    metric: str
    """`R²`, or `AUC` for an attribute of two values."""
    at_mean: float
    """Predicted from posterior means."""
    at_draw: float
    """Predicted from one draw of each posterior: what a generated latent is like."""
    fitted_on: int
    """Rows."""
    held_out: int
    """Rows."""
    values: tuple[float, float] | None = None
    """The two values; the probe gives the probability of the second. None: it gives a number."""


@dataclass(frozen=True, slots=True)
class Probes:
    """A linear map for each of A attributes of latents with D dimensions; sigmoids behind those of two values."""

    weights: F64
    """(A, D)."""
    bias: F64
    """(A,)."""
    platt: F64
    """(A, 2): slope and offset of the sigmoid; 1 and 0 where there is none."""
    scores: tuple[Score, ...]
    left_out: Mapping[str, str]
    """Labels without a probe, and why."""
    facts: Mapping[str, Any]
    """What they were fitted on: `model`, its digest, `latents`, that of the data set, `rows`."""

    def predict(self, latents_ND: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Give (N, A): numbers, and probabilities in [0, 1]; a row's depend on its latent alone."""
        values = apply_map(self.weights, self.bias, latents_ND)
        two = [score.values is not None for score in self.scores]
        values[:, two] = sigmoid(values[:, two] * self.platt[two, 0] + self.platt[two, 1])
        return values.astype(np.float32)

    def to_bytes(self) -> bytes:
        """Give the content of the file: safetensors, float64, all else as JSON."""
        known = {"format": FORMAT, "scores": [asdict(score) for score in self.scores], "left_out": dict(self.left_out)}
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in ("weights", "bias", "platt")}
        text = json.dumps({**known, "facts": dict(self.facts)}, sort_keys=True)
        return bytes(safetensors.numpy.save(tensors, {"vae_batch.probes": text}))


@dataclass(frozen=True, slots=True)
class Predictor:
    """Where the probes of a job are; plain data that travels."""

    attributes: tuple[str, ...]
    file: str
    """In OUT; each process reads it once."""
    sha256: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the predicted columns, float32."""
        return tuple(f"predicted_{name}" for name in self.attributes)

    def probes(self) -> Probes:
        """Read them. Raises OutputError, as `read_probes`."""
        return read_probes(self.file, self.sha256)

    def __call__(self, latents_ND: npt.NDArray[np.floating]) -> dict[str, npt.NDArray[np.float32]]:
        """Predict: (N,) values by column."""
        return dict(zip(self.columns, _kept(self.file, self.sha256).predict(latents_ND).T, strict=True))


def read_probes(location: str, sha256: str) -> Probes:
    """Read a file of probes.

    Args:
        location: the file.
        sha256: of it, as the job file says.

    Raises:
        OutputError: it is missing, no such file, or another one.
    """
    try:
        data = storage.read_bytes(location)
    except (FileNotFoundError, IsADirectoryError):
        raise OutputError(f"{location}: there is no such file of probes") from None
    try:
        (length,) = struct.unpack("<Q", data[:8])
        known = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["vae_batch.probes"])
        if known.pop("format") != FORMAT:
            raise OutputError(f"{location}: written by another version of vae_batch; use that one")
        known["scores"] = tuple(Score(**{**s, "values": s["values"] and tuple(s["values"])}) for s in known["scores"])
        probes = Probes(**safetensors.numpy.load(data), **known)
        if not len(probes.scores) == len(probes.weights) == len(probes.bias) == len(probes.platt):
            raise ValueError("shapes that do not go together")
    except (SafetensorError, struct.error, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{location} holds no probes that `generate --label-with` wrote: {error!r}") from None
    if storage.bytes_sha256(data) != sha256:
        raise OutputError(f"{location} holds not the probes that the job file names: its content was changed")
    return probes


_kept = lru_cache(maxsize=1)(read_probes)
