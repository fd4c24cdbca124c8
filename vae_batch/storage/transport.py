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
        errno.EINVAL,
    ]
)
_REFUSED = re.compile(r"AWS Error (?:ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH)\b|HTTP status 403\b")
_MISSING = re.compile(r"AWS Error (?:NO_SUCH_BUCKET|NO_SUCH_KEY|RESOURCE_NOT_FOUND)\b")
_REQUEST_ID = re.compile(r" \(Request ID: [^)]*\)")


def is_lasting(error: OSError) -> bool:
    """Whether an error says something of the file (gone, forbidden) and not of the way there (EIO, ESTALE, a 503)."""
    return error.errno in _LASTING or isinstance(error, FileNotFoundError)


def is_full(error: Exception) -> bool:
    """Whether an error says that there is no room to write, on the disk or in the user's quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


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
    except Exception as error:
        raise _translated(error) from error


def _translated(error: Exception) -> OSError:
    """An error of any file system as Python's own file systems would raise it; the same words for the same error."""
    text = _REQUEST_ID.sub("", str((isinstance(error, OSError) and error.strerror) or error))
    if _REFUSED.search(text):
        return PermissionError(
            errno.EACCES,
            f"{text} The storage refuses: give credentials that may do this, by the environment (AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) or the machine's role; for a public bucket ?anonymous=true",
        )
    if _MISSING.search(text) or isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, text)
    if isinstance(error, PermissionError):
        return PermissionError(errno.EACCES, text)
    if isinstance(error, OSError):
        return OSError(error.errno or errno.EIO, text)
    if isinstance(error, ValueError):  # Arrow: a name that this file system cannot have
        return OSError(errno.EINVAL, text)
    return OSError(errno.EIO, f"{type(error).__name__}: {text}")  # fsspec's raise errors of their own libraries
