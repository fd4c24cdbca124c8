"""Images named by a path in a table or a listing: relative to the shard that names them, absolute, or a URI."""

from __future__ import annotations

import posixpath

from vae_batch import storage
from vae_batch.errors import StorageError
from vae_batch.sources.files import File, is_lasting, open_file, status_of
from vae_batch.sources.streams import MAX_FILE_BYTES, too_large
from vae_batch.types import LFS_POINTER


class RowError(Exception):
    """Why a row gives no image; becomes its reject."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error, self.message = error, message


def is_web(path: str) -> bool:
    """Whether a path is a URL of the web, which is not fetched."""
    return path.lower().startswith(("http://", "https://"))


def read_named(root: str, shard: str, path: str) -> bytes:
    """The bytes of an image that a row of a shard names.

    Raises:
        RowError: it cannot be had, and never will be.
        OSError: the storage fails; the attempt can be made again.
    """
    if is_web(path):
        raise RowError("WebAddress", f"{path}: addresses of the web are not fetched; download the images first")
    if not path:
        raise RowError("NoPath", "the path is empty")
    where = place(root, shard, path)
    try:
        with open_file(root, where) as file:
            return _content(file)
    except StorageError as error:
        raise RowError("UnknownScheme", str(error)) from error
    except ValueError as error:  # what no file system takes, such as NUL
        raise RowError("BadPath", f"{where!r} cannot be a path: {error}") from error
    except OSError as error:
        if not is_lasting(error) and not _is_folder(root, where):
            raise
        missing = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if missing else error.strerror or "it is no file"
        raise RowError(type(error).__name__, f"{where}: {reason}") from error


def _content(file: File) -> bytes:
    if file.size > MAX_FILE_BYTES:
        raise RowError("TooLarge", too_large(file.size))
    data = file.pread(file.size, 0)
    if data.startswith(LFS_POINTER):
        raise RowError("GitLfsPointer", "a git-LFS pointer in place of the image: run `git lfs pull` where it lies")
    return data


def _is_folder(root: str, where: str) -> bool:
    """Whether a failure is because there is no file but a folder; for storage that has no error number for it."""
    return storage.is_remote(where if storage.is_remote(where) else root) and not status_of(root, where).regular


def place(root: str, shard: str, path: str) -> str:
    """Where a path in a shard points: relative to the root, absolute, or a URI."""
    path = storage.local(path)
    if path.startswith("/") or storage.is_remote(path):
        return path
    return posixpath.join(posixpath.dirname(shard), path)
