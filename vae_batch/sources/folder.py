"""Reading loose files: regular files only, each with the sidecar that the listing put behind it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

from vae_batch.sources.archive import too_large
from vae_batch.sources.labels import MAX_SIDECAR_BYTES, parse_labels
from vae_batch.sources.listing import is_sidecar
from vae_batch.sources.sniff import HEAD_BYTES, has_image_extension, has_image_magic
from vae_batch.sources.streams import MAX_FILE_BYTES, is_lasting, locate
from vae_batch.types import ImageRecord, Piece, Reject, Tally


def read_folder(root: str, piece: Piece, tally: Tally) -> Iterator[ImageRecord | Reject]:
    """Read a run of loose files.

    A file that is gone or forbidden is a reject; one whose size changed is read as it is now.

    Raises:
        OSError: the storage fails; the attempt can be made again.
    """
    files = list(_pairs(piece.files))
    tally.seen += len(files)
    repeats = frozenset(piece.repeats)
    for row, (path, sidecar) in enumerate(files, piece.first_row):
        try:
            found = _outcome(root, piece.shard, row, path, row in repeats)
        except OSError as error:
            if not is_lasting(error):
                raise
            found = Reject(path, piece.shard, row, "read", type(error).__name__, error.strerror or str(error))
        if found is None:
            tally.skipped += 1
            continue
        if isinstance(found, ImageRecord):
            tally.bytes += len(found.data)
            if sidecar is not None:
                labels = _labels(root, sidecar, tally)
                found = ImageRecord(found.id, found.shard, found.row, found.data, labels)
        yield found


def _pairs(files: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Each file with its sidecar."""
    for i, path in enumerate(files):
        if i and is_sidecar(path, files[i - 1]):
            continue
        behind = files[i + 1] if i + 1 < len(files) else ""
        yield path, behind if is_sidecar(behind, path) else None


def _outcome(root: str, shard: str, row: int, path: str, repeated: bool) -> ImageRecord | Reject | None:
    """What becomes of a file; None for one that is no image. Raises OSError."""
    name, status = locate(root, path)
    if not stat.S_ISREG(status.st_mode):
        return None
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        head = b""
        if not has_image_extension(path):
            head = _read(fd, HEAD_BYTES)
            if not has_image_magic(head):
                return None
        if repeated:
            return Reject(path, shard, row, "read", "DuplicateId", "another file's name reads the same")
        if status.st_size > MAX_FILE_BYTES:
            return Reject(path, shard, row, "read", "TooLarge", too_large(status.st_size))
        return ImageRecord(path, shard, row, head + _read(fd, status.st_size - len(head)))
    finally:
        os.close(fd)


def _read(fd: int, n: int) -> bytes:
    """Up to n bytes; fewer only at the end of the file."""
    data = os.read(fd, n) if n > 0 else b""
    while 0 < len(data) < n and (more := os.read(fd, n - len(data))):
        data += more
    return data


def _labels(root: str, path: str, tally: Tally) -> dict[str, Any] | None:
    """The labels in a sidecar; what cannot be had is counted."""
    labels = parse_labels(read_small(root, path))
    tally.sidecars["unreadable"] += labels is None
    return labels


def read_small(root: str, path: str) -> bytes | None:
    """A file of up to MAX_SIDECAR_BYTES; None for a larger one, or one that is gone. Raises OSError otherwise."""
    try:
        name, status = locate(root, path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SIDECAR_BYTES:
            return None
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if is_lasting(error):
            return None
        raise
    try:
        return _read(fd, status.st_size)
    finally:
        os.close(fd)
