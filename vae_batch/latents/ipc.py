"""Arrow files of OUT's state: named by their content, so that a new one never takes the place of the old."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa

from vae_batch import storage


def write_ipc(schema: pa.Schema, batches: Iterable[pa.RecordBatch], name: Callable[[str], Path], tmp: Path) -> str:
    """Write batches as they come, and publish the file under the name that its digest gives.

    Args:
        schema: of the batches.
        batches: nothing of them is kept in memory.
        name: from the file's sha256 to its final path.
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
    storage.publish(unfinished, name(digest))
    return digest
