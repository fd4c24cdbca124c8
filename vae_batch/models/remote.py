"""A saved model under a URI: its two files, fetched once for each process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.folder import CONFIG, WEIGHTS


@lru_cache(maxsize=8)
def fetch_model(uri: str) -> Path:
    """Copy a saved model into a temporary folder, which is gone with this process.

    Raises:
        ModelError: it is not there, or cannot be read.
    """
    folder = storage.own_folder("model")
    for name in (CONFIG, WEIGHTS):
        try:
            storage.fetch(storage.join(uri, name), folder)
        except FileNotFoundError:
            raise ModelError(f"{uri} holds no model: it has no {name}") from None
        except OSError as error:
            raise ModelError(f"the model {uri} cannot be read: {error.strerror or error}") from error
    return folder
