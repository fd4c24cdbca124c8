"""The small file in which a job keeps what was worked out from encoded images when it began: `fit-*.safetensors`."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Protocol, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from vae_batch import storage
from vae_batch.errors import OutputError

FORMAT = 1

Tensors = Mapping[str, npt.NDArray[Any]]
Facts = Mapping[str, Any]


class Fit(Protocol):
    """What such a file holds."""

    SAMPLER: ClassVar[str]
    """Which sampler writes it, for messages."""

    @classmethod
    def of(cls, tensors: Tensors, facts: Facts) -> Self:
        """Make it of what was read. Raises ValueError, KeyError or TypeError: it is something else."""


F = TypeVar("F", bound=Fit)


def fit_bytes(tensors: Tensors, facts: Facts) -> bytes:
    """Give the content of a fit file: safetensors, the facts as JSON; they name the `model`."""
    known = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    plain = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return bytes(safetensors.numpy.save(plain, {"vae_batch.fit": known}))


def read_fit(kind: type[F], location: str) -> tuple[F, str]:
    """Read a fit file; give what it holds and its sha256.

    Raises:
        OutputError: it is missing, or another kind of file.
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
        return kind.of(safetensors.numpy.load(data), facts), storage.bytes_sha256(data)
    except (SafetensorError, struct.error, ValueError, KeyError, TypeError) as error:
        message = f"{location} is no fit that `generate --sampler {kind.SAMPLER}` wrote: {error!r}"
        raise OutputError(message) from None


def kept_fit(kind: type[F], location: str, sha256: str) -> F:
    """Read the fit file of a job, once in a process. Raises OutputError: it is not the one that the job file names."""
    return cast(F, _kept(kind, location, sha256))


@lru_cache(maxsize=1)
def _kept(kind: type[Fit], location: str, sha256: str) -> Fit:
    fit, found = read_fit(kind, location)
    if found != sha256:
        raise OutputError(f"{location} is not the fit that the job file names: its content was changed")
    return fit
