"""Digests of files and values, in hex."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vae_batch.storage.files import open_input
from vae_batch.storage.locations import is_remote

_BYTES = 8 << 20


def file_sha256(location: str | Path) -> str:
    """Digest of a file's bytes, hex."""
    if not is_remote(location):
        with Path(location).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    with open_input(location) as file:
        while data := file.read(_BYTES):
            digest.update(data)
    return digest.hexdigest()


def bytes_sha256(data: bytes) -> str:
    """Digest of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def json_sha256(value: Any) -> str:
    """Digest of a JSON value in its canonical form: sorted keys, no white space."""
    return bytes_sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
