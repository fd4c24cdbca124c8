"""Save and load the built-in networks: config.json and model.safetensors, no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.families import FAMILIES
from vae_batch.models.folder import CONFIG, FORMAT, WEIGHTS, describe_saved, read_config
from vae_batch.models.network import TrainableVAE


def save_model(
    model: TrainableVAE,
    folder: str | Path,
    transform: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a model; a reader sees it whole or not at all, since config.json appears last.

    Args:
        model: the network.
        folder: made where missing.
        transform: how images are cropped and resized, as `vae_batch.images.Transform.to_dict` gives it.
        extra: how it was trained; JSON values. Not part of the model's digest.
    """
    folder = Path(folder)
    unfinished = storage.scratch(folder, WEIGHTS)
    try:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_tensors(weights, unfinished)
        storage.publish(unfinished, folder / WEIGHTS, folder)
    finally:
        unfinished.unlink(missing_ok=True)
    config = {
        "format": FORMAT,
        "family": model.family,
        "config": asdict(model.config),
        "transform": None if transform is None else dict(transform),
        "extra": dict(extra or {}),
    }
    storage.write_json(folder / CONFIG, config, folder)


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file that those may read who may read other files of ours; safetensors' own is its owner's.

    Raises:
        OSError, SafetensorError: it could not be written.
    """
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, metadata)
    path.chmod(mode)


def load_saved(folder: Path, ref: str, image_size: int | None = None) -> TrainableVAE:
    """Load a folder that `save_model` wrote.

    Raises:
        ModelError: the folder is incomplete or damaged, or weights and config do not belong together.
    """
    card = describe_saved(folder, ref, image_size)
    family = FAMILIES[card.family]()
    try:
        config = family.config(**read_config(folder).config)
    except TypeError as error:
        raise ModelError(f"{folder / CONFIG}: the key config is not that of a {card.family} network: {error}") from None
    with torch.device("meta"):  # no time spent on drawing weights that are replaced at once
        model = family.network(config)
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"the weights in {folder / WEIGHTS} are damaged: {error}") from None
    _check_fit(model.state_dict(), weights, folder)
    model.load_state_dict(weights, assign=True)
    model.card = card
    return model


def _check_fit(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], folder: Path) -> None:
    wrong = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    wrong += [f"{name} is not of this network" for name in found.keys() - wanted.keys()]
    for name in wanted.keys() & found.keys():
        if wanted[name].shape != found[name].shape or wanted[name].dtype != found[name].dtype:
            has, wants = (f"{tuple(t.shape)} {t.dtype}" for t in (found[name], wanted[name]))
            wrong.append(f"{name} is {has}, not {wants}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(f"{folder / WEIGHTS} does not fit {CONFIG}: {'; '.join(sorted(wrong)[:3])}{more}")
