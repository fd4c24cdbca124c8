"""Whose folder OUT is: new, of this training, of another one, or finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vae_batch import storage
from vae_batch.errors import MismatchError, OutputError
from vae_batch.models.folder import CONFIG, WEIGHTS
from vae_batch.specs import TrainSpec
from vae_batch.training.checkpoint import FOLDER, JOB

_FREE = {
    "kind", "out", "cache", "address", "workers", "device", "compile", "checkpoint_seconds", "logger", "report"
}  # fmt: skip
"""Keys that do not say what is trained; device, workers and compile move it by rounding."""


def identity(spec: TrainSpec) -> dict[str, Any]:
    """Give what determines the weights, but for rounding."""
    return {**spec.model_dump(mode="json", exclude=_FREE), "source": storage.absolute(spec.source)}


def numerics(spec: TrainSpec, device: torch.device, dtype: torch.dtype | None, workers: int) -> dict[str, Any]:
    """Give what moves the weights by rounding: equal numerics end in the same bits."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "workers": workers,
        "threads": torch.get_num_threads(),
        "dtype": str(dtype or torch.float32).removeprefix("torch."),
        "compile": spec.compile,
        "torch": torch.__version__,
    }


def check_out(out: str, spec: TrainSpec) -> dict[str, Any] | None:
    """Refuse what belongs to another training.

    Returns:
        What config.json says of this very training if it is finished; else None: begin, or go on.

    Raises:
        MismatchError: OUT belongs to a training with other settings, finished or not.
        OutputError: it holds a model of unknown settings, or is a file.
    """
    if not storage.is_remote(out) and Path(out).is_file():
        raise OutputError(f"{out} is a file; give a folder for the model with --out")
    if storage.exists(storage.join(out, CONFIG)):
        training = _read(storage.join(out, CONFIG)).get("extra", {}).get("training", {})
        if "spec" not in training:
            raise OutputError(f"{out} holds a model already; give another --out, or delete it")
        _compare(f"{out} holds a model already, of a training with other settings", training["spec"], identity(spec))
        return dict(training)
    job = storage.join(out, f"{FOLDER}/{JOB}")
    if storage.exists(job):
        _compare(f"{out} belongs to a training with other settings", _read(job)["spec"], identity(spec))
    elif storage.exists(storage.join(out, WEIGHTS)):
        raise OutputError(f"{out} holds a model already; give another --out, or delete it")
    return None


def begin(out: str, spec: TrainSpec, ids: Sequence[str]) -> None:
    """Make OUT this training's, or see that its images are still the same.

    Raises:
        MismatchError: they are not.
    """
    job = storage.join(out, f"{FOLDER}/{JOB}")
    data = {"images": len(ids), "ids_sha256": storage.json_sha256(list(ids))}
    for folder in (out, storage.join(out, FOLDER)):
        storage.sweep(folder)
    if storage.exists(job):
        _compare(f"the images of {spec.source} have changed since {out} was begun", _read(job)["data"], data)
        return
    storage.make_folder(storage.join(out, FOLDER))
    storage.write_json(job, {"spec": identity(spec), "data": data}, storage.join(out, FOLDER))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name what differs, a line each: `key: before -> now`."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [f"{key}: {json.dumps(before.get(key))} -> {json.dumps(now.get(key))}" for key in keys]


def _compare(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if not keys:
        return
    rows = [("", "in OUT", "asked for")]
    rows += [(key, json.dumps(before.get(key)), json.dumps(now.get(key))) for key in keys]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    table = "\n".join(f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows)
    raise MismatchError(f"{what}:\n{table}\nRun with what is in OUT to go on, give another --out, or delete OUT.")


def _read(path: str) -> dict[str, Any]:
    try:
        value = json.loads(storage.read_bytes(path))
        if not isinstance(value, dict):
            raise ValueError("it is no mapping")
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read: {error}") from None
    return value
