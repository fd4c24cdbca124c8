"""A model under a URI: its files, fetched once for each process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.diffusers_folder import SUBFOLDER, choose_weights, named_class
from vae_batch.models.folder import CONFIG, WEIGHTS

ENCODER, DECODER = "encoder.pt2", "decoder.pt2"


@lru_cache(maxsize=8)
def fetch_model(uri: str) -> Path:
    """Copy a model, saved by `save_model` or by diffusers, into a temporary folder, which is gone with this process.

    Raises:
        ModelError: it is not there, or cannot be read.
    """
    folder = storage.own_folder("model")
    if not (_fetched(uri, folder) or _fetched(storage.join(uri, SUBFOLDER), folder / SUBFOLDER)):
        raise ModelError(f"{uri} holds no model: it has no {CONFIG}")
    return folder


def _fetched(uri: str, folder: Path) -> bool:
    """Fetch config.json and the weights that go with it; say whether there is a config.json."""
    folder.mkdir(exist_ok=True)
    try:
        config = storage.fetch(storage.join(uri, CONFIG), folder)
        weights = choose_weights(storage.list_files(uri), uri) if named_class(config.read_bytes()) else WEIGHTS
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ModelError(f"the model {uri} cannot be read: {error.strerror or error}") from error
    _fetch(storage.join(uri, weights), folder, f"{uri} holds no model: it has no {weights}")
    return True


@lru_cache(maxsize=8)
def fetch_programs(uri: str) -> Path:
    """Copy exported programs as `fetch_model` copies a saved model; give the copy of the file, or of the folder.

    Raises:
        ModelError: they cannot be read.
    """
    folder = storage.own_folder("model")
    if names_program(uri):
        return _fetch(uri, folder, f"{uri} is not there")
    _fetch(storage.join(uri, ENCODER), folder, f"{uri} has no {ENCODER}")
    if storage.exists(storage.join(uri, DECODER)):
        _fetch(storage.join(uri, DECODER), folder, f"{uri} has no {DECODER} any more")
    return folder


def names_program(location: str) -> bool:
    """Whether a location is a file of an exported program by its name."""
    return storage.name_of(location).endswith(".pt2") and not Path(location).is_dir()


def _fetch(location: str, folder: Path, missing: str) -> Path:
    try:
        return storage.fetch(location, folder)
    except FileNotFoundError:
        raise ModelError(missing) from None
    except OSError as error:
        raise ModelError(f"the model {location} cannot be read: {error.strerror or error}") from error
