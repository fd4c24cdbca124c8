"""A model's folder under a URI: its two files, fetched once for each process."""

from __future__ import annotations

import atexit
import shutil
from functools import lru_cache
from pathlib import Path

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.diffusers_folder import SUBFOLDER, choose_weights, named_class
from vae_batch.models.folder import CONFIG, WEIGHTS


@lru_cache(maxsize=8)
def fetch_model(uri: str) -> Path:
    """Copy a model, saved by `save_model` or by diffusers, into a temporary folder, which is gone with this process.

    Raises:
        ModelError: it is not there, or cannot be read.
    """
    storage.sweep(uri)  # copies that killed processes left here
    folder = storage.scratch(uri, "model")
    folder.mkdir()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        if not (_fetched(uri, folder) or _fetched(storage.join(uri, SUBFOLDER), folder / SUBFOLDER)):
            raise ModelError(f"{uri} holds no model: it has no {CONFIG}")
    except OSError as error:
        raise ModelError(f"the model {uri} cannot be read: {error.strerror or error}") from error
    return folder


def _fetched(uri: str, folder: Path) -> bool:
    """Fetch config.json and the weights that go with it; say whether there is a config.json."""
    folder.mkdir(exist_ok=True)
    try:
        config = storage.fetch(storage.join(uri, CONFIG), folder)
    except FileNotFoundError:
        return False
    diffusers = named_class(config.read_bytes())
    weights = choose_weights(storage.list_files(uri), uri) if diffusers else WEIGHTS
    try:
        storage.fetch(storage.join(uri, weights), folder)
    except FileNotFoundError:
        raise ModelError(f"{uri} holds no model: it has no {weights}") from None
    return True
