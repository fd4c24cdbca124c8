"""Batch work with variational autoencoders on Ray.

The names here are the public API; each is loaded when it is first used, so that importing this package loads
neither torch nor ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_batch.cluster.encode import encode as encode
    from vae_batch.cluster.evaluate import evaluate as evaluate
    from vae_batch.cluster.generate import generate as generate
    from vae_batch.cluster.train import train as train
    from vae_batch.errors import VaeBatchError as VaeBatchError
    from vae_batch.latents.read import LatentData as LatentData
    from vae_batch.latents.read import read_latents as read_latents
    from vae_batch.latents.rejects import rejects as rejects
    from vae_batch.latents.status import status as status
    from vae_batch.latents.summary import Summary as Summary
    from vae_batch.latents.verify import verify as verify
    from vae_batch.models import DiagonalGaussian as DiagonalGaussian
    from vae_batch.models import load_model as load_model
    from vae_batch.specs import EncodeSpec as EncodeSpec
    from vae_batch.specs import EvaluateSpec as EvaluateSpec
    from vae_batch.specs import GenerateSpec as GenerateSpec
    from vae_batch.specs import TrainSpec as TrainSpec
    from vae_batch.specs import load_spec as load_spec

_WHERE = {
    "DiagonalGaussian": "models",
    "EncodeSpec": "specs",
    "EvaluateSpec": "specs",
    "GenerateSpec": "specs",
    "LatentData": "latents.read",
    "Summary": "latents.summary",
    "TrainSpec": "specs",
    "VaeBatchError": "errors",
    "encode": "cluster.encode",
    "evaluate": "cluster.evaluate",
    "generate": "cluster.generate",
    "load_model": "models",
    "load_spec": "specs",
    "read_latents": "latents.read",
    "rejects": "latents.rejects",
    "status": "latents.status",
    "train": "cluster.train",
    "verify": "latents.verify",
}

__all__ = [
    "DiagonalGaussian",
    "EncodeSpec",
    "EvaluateSpec",
    "GenerateSpec",
    "LatentData",
    "Summary",
    "TrainSpec",
    "VaeBatchError",
    "encode",
    "evaluate",
    "generate",
    "load_model",
    "load_spec",
    "read_latents",
    "rejects",
    "status",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'vae_batch' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vae_batch.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
