"""Where a trained model goes: into a folder here, or under a URI once it is finished."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.models.folder import CONFIG, WEIGHTS

METRICS = "metrics.jsonl"


def check_free(out: str) -> None:
    """Refuse what holds a model.

    Raises:
        OutputError: it does, or is a file.
    """
    if not storage.is_remote(out) and Path(out).is_file():
        raise OutputError(f"{out} is a file; give a folder for the model with --out")
    if any(storage.exists(storage.join(out, name)) for name in (CONFIG, WEIGHTS)):
        raise OutputError(f"{out} holds a model already; give another --out, or delete it")


@contextmanager
def model_folder(out: str) -> Iterator[Path]:
    """Give the folder to train into: `out`, or a temporary one of which the files go to `out` at the end."""
    if not storage.is_remote(out):
        Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        for name in (METRICS, WEIGHTS, CONFIG):  # a model is there once its config is
            storage.write_bytes(storage.join(out, name), (Path(folder) / name).read_bytes(), out)
