"""Writing one part: rows into a temporary file, then footer and rejects, then the one rename that commits."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.latents.digest import Digests
from vae_batch.latents.layout import Layout
from vae_batch.latents.moments import Moments
from vae_batch.latents.row_groups import RowGroups
from vae_batch.latents.schema import storage_options
from vae_batch.types import Reject

_ADDRESS = re.compile(" object at 0x[0-9a-f]+")
"""Where Python says which object it speaks of: not the same from one attempt to the next."""

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("sha256", pa.string()),
    ]
)


class PartWriter:
    """Writes record batches to an unfinished part, in row groups that do not depend on how the rows were batched.

    Use as a context manager: it closes the file; one without a footer is the caller's to remove.
    """

    def __init__(self, path: Path, schema: pa.Schema, row_group_rows: int, moments: Moments) -> None:
        self.path, self.rows = path, 0
        self._schema, self._groups = schema, RowGroups(schema, row_group_rows)
        self._waiting: list[pa.RecordBatch] = []
        self._digests, self._moments = Digests(schema), moments
        self._writer = pq.ParquetWriter(path, schema, **storage_options(schema))

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer.is_open:
            self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; the more at a time the better."""
        self.rows += len(batch)
        self._digests.update(batch)
        self._moments.update(batch)
        for piece, begins in self._groups.split(batch):
            if begins:
                self._flush()
            self._waiting.append(piece)

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._writer.write_table(table, row_group_size=len(table))
            self._waiting = []

    def finish(self, footer: Mapping[str, str]) -> None:
        """Close the file with its footer; our own keys get the prefix `vae_batch.`."""
        self._flush()
        full = {
            **footer,
            "rows": str(self.rows),
            "ids_sha256": self._digests.ids_sha256(),
            "values_sha256": self._digests.values_sha256(),
            "moments": self._moments.dump(),
        }
        self._writer.add_key_value_metadata({f"vae_batch.{k}": v for k, v in full.items()})
        self._writer.close()


def write_rejects(layout: Layout, unit: int, rejects: Sequence[Reject]) -> str:
    """Publish a unit's rejects under a name made from their content; "" if there are none.

    A rejects file that no part names does not count: the part's rename is the commit.
    """
    if not rejects:
        return ""
    rows = [{**asdict(r), "id": _text(r.id), "message": _ADDRESS.sub("", _text(r.message))} for r in rejects]
    table = pa.Table.from_pylist(rows, schema=REJECTS_SCHEMA)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, REJECTS_SCHEMA) as writer:
        writer.write_table(table)
    data = sink.getvalue()
    final = layout.rejects_file(unit, storage.bytes_sha256(data))
    storage.write_bytes(final, data, layout.tmp)
    return storage.name_of(final)


def read_rejects(path: str | Path) -> pa.Table:
    """Read a rejects file."""
    with storage.open_input(path) as file:
        return pa.ipc.open_file(file).read_all()


def _text(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode()
