"""Where files are, here or under a URI; and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
from functools import lru_cache
from pathlib import Path
from typing import Any

from vae_batch.errors import StorageError

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_remote(location: str) -> bool:
    """Whether a location is a URI; `local` makes a path of `file://` ones, so what is left is elsewhere."""
    return _URI.match(location) is not None


def local(location: str) -> str:
    """Make a plain path of a `file://` URI; all else stays as it is."""
    return location.removeprefix("file://") if location.startswith("file:///") else location


def join(root: str, path: str) -> str:
    """Put a relative path behind a root; the query of a URI (`s3://bucket/faces?region=...`) stays at its end."""
    if not path:
        return root
    base, mark, query = root.partition("?") if is_remote(root) else (root, "", "")
    return f"{base.rstrip('/')}/{path}{mark}{query}"


def filesystem(uri: str) -> tuple[Any, str]:
    """Give the Arrow file system of a URI, and the path in it.

    Arrow's own for s3, gs, hdfs and abfs; fsspec for the rest.

    Raises:
        StorageError: neither knows the scheme.
    """
    base, mark, query = uri.partition("?")
    scheme, _, rest = base.partition("://")
    bucket, slash, path = rest.partition("/")
    system, root = _filesystem(f"{scheme}://{bucket}{mark}{query}")
    return system, f"{root.rstrip('/')}{slash}{path}"


@lru_cache(maxsize=64)
def _filesystem(uri: str) -> tuple[Any, str]:
    """One client for each bucket: it keeps its connections."""
    import pyarrow as pa
    from pyarrow import fs

    try:
        return fs.FileSystem.from_uri(uri)  # type: ignore[no-any-return]
    except pa.ArrowInvalid as error:
        return _fsspec(uri, error)


def _fsspec(uri: str, reason: Exception) -> tuple[Any, str]:
    from pyarrow import fs

    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise StorageError(f"{uri}: {reason}; fsspec says: {error}. Install what that names, or mount it") from error
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


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
