"""The files of a source: on this machine by names that need not be text, elsewhere through an Arrow file system."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vae_batch import storage
from vae_batch.errors import SourceError
from vae_batch.sources.names import candidates
from vae_batch.storage import is_lasting as is_lasting  # readers take it from here


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a file before it is read."""

    size: int
    regular: bool
    """False for folders, pipes and devices."""
    modified: int = 0
    """When, in nanoseconds; 0 where the storage does not tell."""


class File:
    """A file that can be read from anywhere in it."""

    size: int

    def pread(self, n: int, at: int) -> bytes:
        """n bytes from an offset; fewer only at the end. Raises OSError where the storage fails."""
        raise NotImplementedError


class _LocalFile(File):
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size

    def pread(self, n: int, at: int) -> bytes:
        data = os.pread(self._fd, n, at) if n > 0 else b""
        while 0 < len(data) < n and (more := os.pread(self._fd, n - len(data), at + len(data))):
            data += more
        return data


class _RemoteFile(File):
    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.size = handle.size()

    def pread(self, n: int, at: int) -> bytes:
        n = min(n, self.size - at)
        return storage.retried(lambda: self._read(n, at)) if n > 0 else b""

    def _read(self, n: int, at: int) -> bytes:
        data: bytes = self._handle.read_at(n, at)
        if len(data) < n:
            raise OSError(errno.EIO, f"{len(data):,} bytes came of the {n:,} from byte {at:,}")
        return data


@contextmanager
def open_file(root: str, path: str) -> Iterator[File]:
    """Open a file of a source. Raises OSError when it cannot be had; see `is_lasting`."""
    if remote := _remote(root, path):
        system, name = remote
        with storage.retried(lambda: system.open_input_file(name)) as handle:
            yield _RemoteFile(handle)
        return
    fd = os.open(_locate(root, path)[0], os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield _LocalFile(fd)
    finally:
        os.close(fd)


def status_of(root: str, path: str) -> Status:
    """Look at a file of a source. Raises OSError when there is none."""
    remote = _remote(root, path)
    if remote is None:
        status = _locate(root, path)[1]
        return Status(status.st_size, stat.S_ISREG(status.st_mode), status.st_mtime_ns)
    system, name = remote
    info = storage.retried(lambda: system.get_file_info(name))
    if info.type.name == "NotFound":
        raise FileNotFoundError(errno.ENOENT, "No such file", full_path(root, path))
    return Status(info.size or 0, info.is_file, info.mtime_ns or 0)


def is_regular(root: str, path: str) -> bool:
    """Whether a file may be opened: no pipe, no device. Object stores have none, and are not asked."""
    return _remote(root, path) is not None or status_of(root, path).regular


def shard_size(root: str, path: str) -> int:
    """Bytes of a shard. Raises SourceError when it is gone, OSError when the storage fails."""
    try:
        return status_of(root, path).size
    except OSError as error:
        if is_lasting(error):
            raise SourceError(f"shard {path} under {root} cannot be read: {error.strerror or error}") from error
        raise


def full_path(root: str, path: str) -> str:
    """Where a file of a source is; one named by an absolute path or a URI (in a listing) is where that says."""
    if path.startswith("/") or storage.is_remote(path):
        return path
    return storage.join(root, path)


def _remote(root: str, path: str) -> tuple[Any, str] | None:
    """The file system and the name in it of what is elsewhere; names under the root may have `?`, `#`, `%` in them."""
    if storage.is_remote(path):
        return storage.filesystem(path)
    if path.startswith("/") or not storage.is_remote(root):
        return None
    system, base = storage.filesystem(root)
    return system, f"{base.rstrip('/')}/{path}"


def _locate(root: str, path: str) -> tuple[bytes, os.stat_result]:
    """The local file that a path of a source means. Raises OSError when there is none."""
    *first, last = candidates("" if path.startswith("/") else root, path)
    for name in first:
        try:
            return name, os.stat(name)
        except FileNotFoundError:
            continue
    return last, os.stat(last)
