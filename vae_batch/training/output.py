"""Where a trained model goes: into a folder here, or under a URI once it is finished."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae_batch import storage
from vae_batch.models.folder import CONFIG


@contextmanager
def model_folder(out: str) -> Iterator[Path]:
    """Give the folder to train into: `out`, or a temporary one of which the files go to `out` at the end."""
    if not storage.is_remote(out):
        Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        names = [str(file.relative_to(folder)) for file in Path(folder).rglob("*") if file.is_file()]
        for name in sorted(names, key=lambda name: name == CONFIG):  # a model is there once its config is
            storage.write_bytes(storage.join(out, name), (Path(folder) / name).read_bytes(), out)
