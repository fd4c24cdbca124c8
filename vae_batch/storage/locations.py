"""Locations: a path here, or a URI with what its file system is to be told in its query."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from vae_batch.errors import StorageError

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PASSWORD = re.compile(r"(?P<before>://)[^/@]*:(?!\d+(?:/|$))[^@]*@")
_SECRET = re.compile(
    r"(?P<before>[?&][^=&]*(?:secret|token|password|signature|access_key|credential|sig)[^=&]*=)[^&]+", re.IGNORECASE
)


def is_remote(location: str | Path) -> bool:
    """Whether a location is a URI; `local` makes a path of `file://` ones, so what is left is elsewhere."""
    return _URI.match(str(location)) is not None


def local(location: str) -> str:
    """Make a plain path of a `file://` URI (%XX undone); all else stays as it is.

    Raises:
        StorageError: the URI carries a password or a key.
    """
    _refuse_secrets(location)
    return unquote(location.removeprefix("file://")) if location.startswith("file:///") else location


def absolute(location: str | Path) -> str:
    """Name a location for processes that work in another folder.

    Raises:
        StorageError: the URI carries a password or a key, or no other process can see what it names.
    """
    location = local(str(location))
    if location.startswith("memory://"):
        raise StorageError(f"{location} is in the memory of one process, where replicas see nothing: give a folder")
    if not is_remote(location):
        return str(Path(location).absolute())
    base, mark, query = location.partition("?")
    return base.rstrip("/") + mark + query


def join(root: str, path: str) -> str:
    """Put a relative path behind a root; the query of a URI (`s3://bucket/faces?region=...`) stays at its end."""
    if not path:
        return root
    base, mark, query = root.partition("?") if is_remote(root) else (root, "", "")
    return f"{base.rstrip('/')}/{path}{mark}{query}"


def name_of(location: str | Path) -> str:
    """The last name in a location."""
    base = str(location).partition("?")[0] if is_remote(location) else str(location)
    return base.rstrip("/").rpartition("/")[2]


def masked(location: str) -> str:
    """A location as it may be shown."""
    if not is_remote(location):
        return location
    return _SECRET.sub(r"\g<before>***", _PASSWORD.sub(r"\g<before>***@", location))


def _refuse_secrets(location: str) -> None:
    """What is told to a job is kept in its files and shown in its messages: no place for a secret."""
    if masked(location) != location:
        raise StorageError(
            f"{masked(location)} carries a password or a key, which would be kept in job files and logs: leave it "
            "out, and give it by the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, "
            "GOOGLE_APPLICATION_CREDENTIALS, …) or by the machine's role"
        )
