"""A spec from a YAML file, by its key `kind`."""

from __future__ import annotations

from pathlib import Path

import yaml

from vae_batch.errors import SpecError
from vae_batch.specs.base import Spec
from vae_batch.specs.encode import EncodeSpec
from vae_batch.specs.evaluate import EvaluateSpec
from vae_batch.specs.generate import GenerateSpec
from vae_batch.specs.train import TrainSpec

KINDS: dict[str, type[Spec]] = {
    "encode": EncodeSpec,
    "generate": GenerateSpec,
    "train": TrainSpec,
    "evaluate": EvaluateSpec,
}


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
