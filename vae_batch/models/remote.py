"""A model under a URI: its files, fetched once for each process."""

from __future__ import annotations

import atexit
import shutil
from functools import lru_cache
from pathlib import Path

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.folder import CONFIG, WEIGHTS

ENCODER, DECODER = "encoder.pt2", "decoder.pt2"


@lru_cache(maxsize=8)
def fetch_model(uri: str) -> Path:
    """Copy a saved model into a temporary folder, which is gone with this process.

    Raises:
        ModelError: it is not there, or cannot be read.
    """
    folder = _folder(uri)
    for name in (CONFIG, WEIGHTS):
        _fetch(storage.join(uri, name), folder, f"{uri} holds no model: it has no {name}")
    return folder


@lru_cache(maxsize=8)
def fetch_programs(location: str) -> tuple[Path, Path | None]:
    """Give the files of an encoder, and of a decoder where there is one, here or under a URI.

    Args:
        location: a file, or a folder with encoder.pt2.

    Raises:
        ModelError: they cannot be read.
    """
    remote = storage.is_remote(location)
    folder = _folder(location) if remote else Path(location).parent
    if names_program(location):
        return _fetch(location, folder, f"{location} is not there"), None
    encoder, decoder = storage.join(location, ENCODER), storage.join(location, DECODER)
    found = _fetch(encoder, folder, f"{encoder} is not there")
    return found, _fetch(decoder, folder, "") if storage.exists(decoder) else None


def names_program(location: str) -> bool:
    """Whether a location is a file of an exported program by its name."""
    return storage.name_of(location).endswith(".pt2") and not Path(location).is_dir()


def _folder(uri: str) -> Path:
    storage.sweep(uri)  # copies that killed processes left here
    folder = storage.scratch(uri, "model")
    folder.mkdir()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _fetch(location: str, folder: Path, missing: str) -> Path:
    try:
        return storage.fetch(location, folder)
    except FileNotFoundError:
        raise ModelError(missing) from None
    except OSError as error:
        raise ModelError(f"the model {location} cannot be read: {error.strerror or error}") from error
