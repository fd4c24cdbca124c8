"""A folder that diffusers wrote, read with neither diffusers nor torch: config.json and the header of the weights."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.base import ModelCard
from vae_batch.models.folder import CONFIG, read_header, weights_sha256

SUBFOLDER = "vae"
"""Where a pipeline keeps its autoencoder."""

DEFAULT_SIZE = 64
"""Pixels a side where neither the user nor the config names them, as for any model."""

SCALING = ("scaling_factor", "shift_factor", "latents_mean", "latents_std")

PLAIN = "diffusion_pytorch_model.safetensors"
_WEIGHTS = re.compile(r"diffusion_pytorch_model(?:\.(?P<variant>[\w-]+))?\.safetensors")
_PICKLE = re.compile(r"diffusion_pytorch_model(?:\.[\w-]+)?\.(?:bin|ckpt|pth?)")


@dataclass(frozen=True, slots=True)
class Family:
    """What is to be known of a class of diffusers."""

    levels: str
    """The key of config.json with an entry for each resolution; each is half of the one before."""
    deterministic: bool
    defaults: Mapping[str, Any]
    """Of keys that an older diffusers did not write."""


FAMILIES = {
    "AutoencoderKL": Family("block_out_channels", False, {"scaling_factor": 0.18215, "force_upcast": True}),
    "AutoencoderTiny": Family("encoder_block_out_channels", True, {"scaling_factor": 1.0}),
    "AutoencoderDC": Family("encoder_block_out_channels", True, {"scaling_factor": 1.0}),
}


def find_diffusers(folder: Path) -> Path | None:
    """Give the folder of the autoencoder: this one, or `vae/` in a pipeline's; None where diffusers wrote neither."""
    here, there = (_class_name(path) for path in (folder, folder / SUBFOLDER))
    return folder if here in FAMILIES else folder / SUBFOLDER if there else folder if here else None


def _class_name(folder: Path) -> str | None:
    try:
        return named_class((folder / CONFIG).read_bytes())
    except OSError:
        return None


def named_class(config: bytes) -> str | None:
    """Read which class of diffusers a config.json names; None where it is no JSON object or names none."""
    try:
        name = json.loads(config)["_class_name"]
    except (ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def choose_weights(names: Collection[str], where: str | Path) -> str:
    """Choose among the names in a folder the file of the weights: that without a variant, else the only variant.

    Raises:
        ModelError: there is none in safetensors, or several variants.
    """
    found = {name for name in names if _WEIGHTS.fullmatch(name)}
    if PLAIN in found or len(found) == 1:
        return PLAIN if PLAIN in found else next(iter(found))
    if found:
        raise ModelError(f"the model {where} has the weights {', '.join(sorted(found))}; leave the one you want")
    if pickles := sorted(name for name in names if _PICKLE.fullmatch(name)):
        raise ModelError(
            f"the weights of the model {where} are a pickle ({pickles[0]}), which can run code when it is loaded; only "
            "safetensors are taken: load it where you trust it, and save_pretrained() it anew"
        )
    if any(name.startswith(f"{PLAIN}.index") for name in names):
        raise ModelError(f"the weights of the model {where} are in several files: save_pretrained() them as one")
    raise ModelError(f"the model {where} has no weights: {PLAIN} is missing")


def variant_of(weights: str) -> str | None:
    """Give the variant in a name that `choose_weights` gave: `fp16` of diffusion_pytorch_model.fp16.safetensors."""
    match = _WEIGHTS.fullmatch(weights)
    return match["variant"] if match else None


def weights_of(folder: Path) -> Path:
    """Give the file of the weights. Raises ModelError as `choose_weights` does."""
    return folder / choose_weights([path.name for path in folder.iterdir()], folder)


def describe_diffusers(folder: Path, ref: str, image_size: int | None = None) -> ModelCard:
    """Describe an autoencoder of diffusers; its weights are hashed and not loaded.

    Raises:
        ModelError: the class is none that is taken, the folder is incomplete, or the model cannot take the image size.
    """
    config = read_diffusers_config(folder)
    name, weights = config["_class_name"], weights_of(folder)
    family = FAMILIES[name]
    try:
        factor = 2 ** (len(config[family.levels]) - 1)
        channels, latent_channels = int(config.get("in_channels", 3)), int(config["latent_channels"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG} is incomplete: {error!r}") from None
    if channels not in (1, 3):
        raise ModelError(f"--model {ref}: in_channels is {channels}; images are RGB (3) or gray (1)")
    size = image_size or _sample_size(config, ref)
    side = _latent_side(size or DEFAULT_SIZE, factor, ref)
    scaling = {key: config.get(key) for key in SCALING}
    return ModelCard(
        family="diffusers",
        reference=ref,
        digest=_digest(config, weights),
        image_size=size,
        in_channels=channels,
        latent_shape=(latent_channels, side, side),
        deterministic=family.deterministic,
        parameters=sum(math.prod(entry["shape"]) for entry in read_header(weights).values()),
        extra={"class": name, "downscaling": factor, "diffusers": config.get("_diffusers_version")},
        scaling=scaling,
        force_upcast=name != "AutoencoderTiny" and bool(config.get("force_upcast")),
    )


def read_diffusers_config(folder: Path) -> dict[str, Any]:
    """Read config.json, with the defaults of what an older diffusers did not write.

    Raises:
        ModelError: it is damaged, or of a class that is not taken.
    """
    path = folder / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        name = config["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not the config of a diffusers model: {error!r}") from None
    if name not in FAMILIES:
        raise ModelError(f"{path} is of the class {name}; of diffusers, {', '.join(FAMILIES)} are taken")
    return {**FAMILIES[name].defaults, **config}


def _sample_size(config: Mapping[str, Any], ref: str) -> int | None:
    size = config.get("sample_size")
    if isinstance(size, list) and len(set(size)) == 1:
        size = size[0]
    if size is None or (isinstance(size, int) and size > 0):
        return size
    raise ModelError(f"--model {ref}: its sample_size is {size!r}, and square images are taken: give --image-size")


def _latent_side(size: int, factor: int, ref: str) -> int:
    """Halve a side as often as the model does; what does not come out even would be cut off or padded unseen."""
    if size % factor:
        below, above = size // factor * factor, -(-size // factor) * factor
        nearest = f"the nearest are {below} and {above}" if below else f"the smallest is {above}"
        raise ModelError(
            f"the model {ref} takes images whose sides are multiples of {factor}, not {size}×{size}; {nearest}: "
            f"give --image-size"
        )
    return size // factor


def _digest(config: Mapping[str, Any], weights: Path) -> str:
    """Hash the values of config and weights; what diffusers notes of path and version is left out."""
    relevant = {key: value for key, value in config.items() if not key.startswith("_") or key == "_class_name"}
    return storage.json_sha256([relevant, weights_sha256(weights)])
