"""Reading loose files: regular files only, each with the sidecar that the listing put behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vae_batch import storage
from vae_batch.sources.ahead import REMOTE_READS, in_order
from vae_batch.sources.files import is_lasting, is_regular, open_file, status_of
from vae_batch.sources.folders.loose import is_sidecar
from vae_batch.sources.labels.sidecars import MAX_SIDECAR_BYTES, count_failure, parse_labels
from vae_batch.sources.shard import NO_OPTIONS, SourceOptions
from vae_batch.sources.sniff import HEAD_BYTES, has_image_extension, has_image_magic
from vae_batch.sources.streams import MAX_FILE_BYTES, too_large
from vae_batch.types import ImageRecord, Piece, Reject, Tally

_Outcome = ImageRecord | Reject | None


def read_folder(
    root: str, piece: Piece, tally: Tally, options: SourceOptions = NO_OPTIONS
) -> Iterator[ImageRecord | Reject]:
    """Read a run of loose files.

    A file that is gone or forbidden is a reject; one whose size changed is read as it is now.

    Raises:
        OSError: the storage fails; the attempt can be made again.
    """
    files = list(_pairs(piece.files))
    tally.seen += len(files)
    repeats = frozenset(piece.repeats)

    def read(item: tuple[int, tuple[str, str | None]]) -> tuple[_Outcome, bytes | None]:
        row, (path, sidecar) = item
        found = _outcome(root, piece.shard, row, path, row in repeats)
        return found, read_small(root, sidecar) if sidecar and isinstance(found, ImageRecord) else None

    together = REMOTE_READS if storage.is_remote(root) else 0
    outcomes = in_order(read, enumerate(files, piece.first_row), together)
    for (found, labels), (_, sidecar) in zip(outcomes, files, strict=True):
        if found is None:
            tally.skipped += 1
            continue
        if isinstance(found, ImageRecord):
            tally.bytes += len(found.data)
            if sidecar is not None:
                found = ImageRecord(found.id, found.shard, found.row, found.data, _labels(labels, tally))
        yield found


def _pairs(files: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Each file with its sidecar."""
    for i, path in enumerate(files):
        if i and is_sidecar(path, files[i - 1]):
            continue
        behind = files[i + 1] if i + 1 < len(files) else ""
        yield path, behind if is_sidecar(behind, path) else None


def _outcome(root: str, shard: str, row: int, path: str, repeated: bool) -> _Outcome:
    """What becomes of a file; None for one that is no image. Raises OSError where the storage fails."""
    try:
        return _read(root, shard, row, path, repeated)
    except OSError as error:
        if not is_lasting(error):
            raise
        return Reject(path, shard, row, "read", type(error).__name__, error.strerror or str(error))


def _read(root: str, shard: str, row: int, path: str, repeated: bool) -> _Outcome:
    if not is_regular(root, path):
        return None
    with open_file(root, path) as file:
        head = b""
        if not has_image_extension(path):
            head = file.pread(HEAD_BYTES, 0)
            if not has_image_magic(head):
                return None
        if repeated:
            return Reject(path, shard, row, "read", "DuplicateId", "another file's name reads the same")
        if file.size > MAX_FILE_BYTES:
            return Reject(path, shard, row, "read", "TooLarge", too_large(file.size))
        return ImageRecord(path, shard, row, head + file.pread(file.size - len(head), len(head)))


def _labels(data: bytes | None, tally: Tally) -> dict[str, Any] | None:
    """The labels in a sidecar; what cannot be had is counted."""
    labels = parse_labels(data)
    if labels is None:
        count_failure(tally, data)
    return labels


def read_small(root: str, path: str) -> bytes | None:
    """The first MAX_SIDECAR_BYTES of a file, and one more; None of one that is gone. Raises OSError otherwise."""
    try:
        status = status_of(root, path)
        if not status.regular:
            return None
        with open_file(root, path) as file:
            return file.pread(min(status.size, MAX_SIDECAR_BYTES + 1), 0)
    except OSError as error:
        if is_lasting(error):
            return None
        raise
