"""Specs: everything that a job is told, as frozen models; the same keys in Python, YAML and (with dashes) options."""

from vae_batch.specs.base import Precision, Seed, Spec
from vae_batch.specs.encode import EncodeSpec
from vae_batch.specs.evaluate import EvaluateSpec
from vae_batch.specs.generate import Codec, GenerateSpec, PictureFormat
from vae_batch.specs.images import ImagesSpec
from vae_batch.specs.load import KINDS, load_spec
from vae_batch.specs.train import TrainSpec
from vae_batch.specs.work import WorkSpec

__all__ = [
    "KINDS",
    "Codec",
    "EncodeSpec",
    "EvaluateSpec",
    "GenerateSpec",
    "ImagesSpec",
    "PictureFormat",
    "Precision",
    "Seed",
    "Spec",
    "TrainSpec",
    "WorkSpec",
    "load_spec",
]
