"""Files by their location, here or under a URI: looked at, listed, read, fetched, removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from vae_batch.storage.locations import is_remote, name_of
from vae_batch.storage.publishing import scratch
from vae_batch.storage.systems import filesystem
from vae_batch.storage.transport import retried


def exists(location: str) -> bool:
    """Whether there is a file or a folder. Raises OSError where that cannot be known."""
    if not is_remote(location):
        return Path(location).exists()
    system, path = filesystem(location)
    return bool(retried(lambda: system.get_file_info(path)).type.name != "NotFound")


def list_files(folder: str) -> dict[str, int]:
    """List the names in a folder, with sizes in bytes (0 for folders); nothing if it is missing. One listing."""
    if is_remote(folder):
        return _list_remote(folder)
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return {}
    return {entry.name: entry.stat().st_size if entry.is_file() else 0 for entry in entries}


def _list_remote(folder: str) -> dict[str, int]:
    from pyarrow import fs

    system, path = filesystem(folder)
    found = retried(lambda: system.get_file_info(fs.FileSelector(path, allow_not_found=True)))
    return {info.base_name: info.size or 0 for info in found if info.base_name}


def make_folder(location: str) -> None:
    """Make a folder; under a URI there is nothing to do, since publishing makes what it needs."""
    if not is_remote(location):
        Path(location).mkdir(parents=True, exist_ok=True)


def open_input(location: str | Path) -> Any:
    """Open a file as an Arrow one, to be read from anywhere in it. Raises OSError."""
    import pyarrow as pa

    if not is_remote(location):
        return pa.OSFile(str(location), "rb")
    system, path = filesystem(str(location))
    return retried(lambda: system.open_input_file(path))


def read_bytes(location: str) -> bytes:
    """Read a small file whole. Raises OSError."""
    if not is_remote(location):
        return Path(location).read_bytes()

    def attempt() -> bytes:
        with open_input(location) as file:
            data: bytes = file.read()
            return data

    return retried(attempt)


def fetch(location: str, folder: Path | None = None) -> Path:
    """Give a file that is here: itself, or a copy of what is under a URI, which the caller removes.

    Args:
        location: the file.
        folder: where the copy goes, under the file's own name; None: a temporary name.

    Raises:
        OSError: it cannot be had.
    """
    if not is_remote(location):
        return Path(location)
    copy = scratch(location, "fetched") if folder is None else folder / name_of(location)

    def attempt() -> None:
        with open_input(location) as file, copy.open("wb") as sink:
            shutil.copyfileobj(file, sink, 8 << 20)

    try:
        retried(attempt)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy


def remove(location: str) -> None:
    """Remove a file if it is there."""
    if not is_remote(location):
        Path(location).unlink(missing_ok=True)
        return
    system, path = filesystem(location)

    def attempt() -> None:
        if system.get_file_info(path).is_file:
            system.delete_file(path)

    retried(attempt)


def remove_folder(location: str) -> None:
    """Remove a folder and what is in it, if it is there."""
    if not is_remote(location):
        shutil.rmtree(location, ignore_errors=True)
        return
    system, path = filesystem(location)
    retried(lambda: system.delete_dir_contents(path, missing_dir_ok=True))
    retried(lambda: system.delete_dir(path))
