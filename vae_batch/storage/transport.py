"""Errors of the way to a file, which pass, and of the file itself, which last."""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSES = (0.2, 1.0, 4.0)
"""Seconds between attempts, about; object stores' own clients have retried each request before."""

_LASTING = frozenset(
    [
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.EACCES,
        errno.EPERM,
        errno.ENAMETOOLONG,
        errno.ENXIO,
    ]
)
_SAID = re.compile(r"AWS Error (?:ACCESS_DENIED|NO_SUCH_BUCKET|NO_SUCH_KEY|RESOURCE_NOT_FOUND)\b|HTTP status 40[34]\b")
"""What Arrow's S3 gives as text alone."""


def is_lasting(error: OSError) -> bool:
    """Whether an error says something of the file (gone, forbidden) and not of the way there (EIO, ESTALE, a 503)."""
    if error.errno in _LASTING or isinstance(error, FileNotFoundError | PermissionError):
        return True
    return _SAID.search(str(error)) is not None


def retried(operation: Callable[[], T]) -> T:
    """Do something at a remote file system, again after errors that may pass.

    Raises:
        OSError: it lasts, or the last attempt failed too; whatever else a file system raises comes as one.
    """
    for pause in PAUSES:
        try:
            return _attempt(operation)
        except OSError as error:
            if is_lasting(error):
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))
    return _attempt(operation)


def _attempt(operation: Callable[[], T]) -> T:
    try:
        return operation()
    except OSError:
        raise
    except Exception as error:  # fsspec's file systems raise errors of their own libraries
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error
