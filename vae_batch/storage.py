"""Files that appear whole or not at all: unique temporary names, fsync, rename."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any


def scratch(folder: Path, stem: str) -> Path:
    """Name a temporary file that tells its owner: `stem~host~pid~random.tmp`. The folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{stem}~{socket.gethostname()}~{os.getpid()}~{secrets.token_hex(4)}.tmp"


def publish(finished: Path, final: Path) -> None:
    """Give a finished file its final name: fsync, rename, fsync of the folder."""
    with finished.open("rb") as file:
        os.fsync(file.fileno())
    finished.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(final: Path, data: bytes, tmp: Path) -> None:
    """Write a small file whole, by way of a temporary one in `tmp` (same file system)."""
    unfinished = scratch(tmp, final.name)
    unfinished.write_bytes(data)
    publish(unfinished, final)


def write_json(final: Path, value: Any, tmp: Path) -> None:
    """Write a JSON file whole."""
    write_bytes(final, (json.dumps(value, indent=1) + "\n").encode(), tmp)


def sweep(folder: Path) -> None:
    """Remove temporary files of this host whose owner is dead; those of other hosts are left."""
    for file in folder.glob("*~*~*~*.tmp"):
        _, host, pid, _ = file.name.rsplit("~", 3)
        if host == socket.gethostname() and not _alive(int(pid)):
            file.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_sha256(data: bytes) -> str:
    """Digest of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def json_sha256(value: Any) -> str:
    """Digest of a JSON value in its canonical form: sorted keys, no white space."""
    return bytes_sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
