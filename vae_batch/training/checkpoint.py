"""Checkpoints: all that a training needs to go on, in one safetensors file that appears whole or not at all.

OUT/.training/job.json                 what is trained, so that another training is refused
OUT/.training/checkpoint.safetensors   the last checkpoint; numbers and JSON, never a pickle
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.models.save import save_tensors

FOLDER, JOB, FILE = ".training", "job.json", "checkpoint.safetensors"
_KEY = "vae_batch"
FORMAT = 2
"""Of the tensors' names and layout."""

SHARE = 0.05
"""Of the time, at most, goes into checkpoints at the ends of epochs."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training between two steps."""

    tensors: dict[str, Tensor]
    """`model.*`, `adamw.*`, `average`, and `metrics`: the bytes of metrics.jsonl."""
    facts: dict[str, Any]
    """JSON values: `step`, `meter`, `numerics`. What is drawn is a function of the step."""


def path_of(out: str) -> str:
    """Where the checkpoint of a model's folder is."""
    return storage.join(out, f"{FOLDER}/{FILE}")


def write_checkpoint(out: str, checkpoint: Checkpoint) -> None:
    """Put it in the place of the last one.

    Raises:
        OSError: it could not be written; the last one is still there.
    """
    folder = storage.join(out, FOLDER)
    unfinished = storage.scratch(folder, FILE)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    try:
        save_tensors(tensors, unfinished, {_KEY: json.dumps({"format": FORMAT, **checkpoint.facts})})
        storage.publish(unfinished, path_of(out), folder)
    except SafetensorError as error:
        raise OSError(str(error)) from None
    finally:
        unfinished.unlink(missing_ok=True)


def read_checkpoint(out: str) -> Checkpoint | None:
    """Read the last one; None if there is none.

    Raises:
        OutputError: it is damaged.
    """
    path = path_of(out)
    if not storage.exists(path):
        return None
    file = storage.fetch(path)
    try:
        with safe_open(file, "pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            facts = json.loads(content.metadata()[_KEY])
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise OutputError(f"{path} is damaged ({error}): delete {storage.join(out, FOLDER)} to train anew") from None
    finally:
        if storage.is_remote(path):
            file.unlink()
    if facts.pop("format", 1) != FORMAT:
        raise OutputError(
            f"{path} is of another version of vae_batch: delete {storage.join(out, FOLDER)} to train anew"
        )
    return Checkpoint(tensors, facts)


def remove_checkpoint(out: str) -> None:
    """Remove what a finished training no longer needs."""
    folder = storage.join(out, FOLDER)
    if storage.is_remote(folder):
        storage.remove_folder(folder)
        return
    for name in (FILE, JOB):
        storage.remove(storage.join(folder, name))
    storage.sweep(folder)
    with suppress(OSError):  # decoded images are there, and others' to remove
        Path(folder).rmdir()


@dataclass(slots=True)
class Clock:
    """Says when a checkpoint is due."""

    seconds: float
    """Between two."""
    _last: float = field(default_factory=time.monotonic)
    _cost: float = 0.0

    def due(self, end_of_epoch: bool) -> bool:
        """Whether to write one now: after so many seconds; at ends of epochs, unless they follow each other fast."""
        age = time.monotonic() - self._last
        return age >= self.seconds or (end_of_epoch and age * SHARE >= self._cost)

    def written(self, started: float) -> None:
        """Note that one was begun at this time of the monotonic clock and is there now."""
        self._last = time.monotonic()
        self._cost = self._last - started
