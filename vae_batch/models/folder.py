"""A saved model's folder, read without torch: config.json and the header of model.safetensors."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.base import ModelCard
from vae_batch.models.entry_points import known_families
from vae_batch.models.families import FAMILIES

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT = 2


@dataclass(frozen=True, slots=True)
class SavedConfig:
    """What config.json says."""

    family: str
    config: dict[str, Any]
    """The network's own: for `conv`, the fields of `ConvConfig`; so for the others."""
    transform: dict[str, Any] | None
    extra: dict[str, Any]


def read_config(folder: Path) -> SavedConfig:
    """Read config.json.

    Raises:
        ModelError: it is missing, damaged, of a later format or of an unknown family.
    """
    path = folder / CONFIG
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["family"] not in FAMILIES:
            raise ModelError(
                f"{path} names the family {value['family']!r}; known families are {known_families(FAMILIES)}"
            )
        if value["format"] != FORMAT:
            raise ModelError(
                f"{path} has format {value['format']!r}; this version of vae_batch reads {FORMAT}: train it again"
            )
        saved = SavedConfig(value["family"], dict(value["config"]), value["transform"], dict(value["extra"]))
    except FileNotFoundError:
        raise ModelError(f"the folder {folder} holds no model: it has no {CONFIG}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a model's config as vae_batch writes it: {error!r}") from None
    return saved


def describe_saved(folder: Path, ref: str, image_size: int | None = None) -> ModelCard:
    """Describe a saved model.

    Raises:
        ModelError: the folder is incomplete or damaged, or the network takes another image size.
    """
    saved = read_config(folder)
    try:
        size, channels = int(saved.config["image_size"]), int(saved.config["in_channels"])
        latent = _latent_shape(saved.config)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: the key config is incomplete: {error!r}") from None
    if image_size not in (None, size):
        raise ModelError(f"the model {ref} takes images of {size}×{size} pixels, not {image_size}×{image_size}")
    parameters = sum(math.prod(entry["shape"]) for entry in read_header(folder / WEIGHTS).values())
    digest = _digest(saved, folder / WEIGHTS)
    return ModelCard(saved.family, ref, digest, size, channels, latent, False, parameters, saved.transform, saved.extra)


def _latent_shape(config: dict[str, Any]) -> tuple[int, ...]:
    grid = config.get("latent_grid")
    return (int(config["latent_dim"]), *(() if grid is None else (int(grid), int(grid))))


def _digest(saved: SavedConfig, weights: Path) -> str:
    relevant = {"family": saved.family, "config": saved.config, "transform": saved.transform}
    return storage.json_sha256([relevant, weights_sha256(weights)])


def weights_sha256(path: Path) -> str:
    """Digest of a file of weights; a large one is read once for each process, unless it changes."""
    found = path.stat()
    return _sha256_of(path, found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=64)
def _sha256_of(path: Path, *state: int) -> str:
    return storage.file_sha256(path)


def read_header(path: Path) -> dict[str, Any]:
    """Read the table of tensors: eight bytes of length, JSON, then the tensors without gaps.

    Raises:
        ModelError: the file is missing, cut or damaged.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size - 8:
                raise ValueError("it is cut in its header")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except FileNotFoundError:
        raise ModelError(f"the model in {path.parent} has no weights: {path.name} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelError(f"the weights in {path} are damaged: {error}") from None
    if 8 + length + end != path.stat().st_size:
        raise ModelError(
            f"the weights in {path} are damaged: the file has {path.stat().st_size:,} bytes, its header speaks of "
            f"{8 + length + end:,}; copy the model anew"
        )
    return dict(header)
