"""Arrow files of OUT's state: named by their content, so that a new one never takes the place of the old."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from vae_batch import storage
from vae_batch.errors import OutputError


def write_ipc(schema: pa.Schema, batches: Iterable[pa.RecordBatch], name: Callable[[str], str], tmp: str) -> str:
    """Write batches as they come, and publish the file under the name that its digest gives.

    Args:
        schema: of the batches.
        batches: nothing of them is kept in memory.
        name: from the file's sha256 to its final location.
        tmp: where it lies until it is whole.

    Returns:
        sha256 of the file.
    """
    unfinished = storage.scratch(tmp, "arrow")
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    digest = storage.file_sha256(unfinished)
    storage.publish(unfinished, name(digest), tmp)
    return digest


def open_ipc(location: str, sha256: str, what: str) -> pa.RecordBatchFileReader:
    """Map a file that `write_ipc` wrote; of one under a URI a copy, whose name is gone at once.

    Args:
        location: the file.
        sha256: what its content must have.
        what: the job file names it as.

    Raises:
        OutputError: it is missing or has another content.
    """
    try:
        here = storage.fetch(location)
        try:
            if storage.file_sha256(here) != sha256:
                raise OutputError(f"{location} is not the {what} that the job file names: its content was changed")
            return pa.ipc.open_file(pa.memory_map(str(here)))
        finally:
            if storage.is_remote(location):
                here.unlink()  # the map keeps the copy
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"{location}, the {what} that the job file names, is missing or damaged: {error}") from None
