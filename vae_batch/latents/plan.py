"""The plan file: the units, one record batch each, read one at a time through a memory map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from vae_batch import storage
from vae_batch.types import Piece, Unit

_PIECE = pa.struct(
    [
        pa.field("shard", pa.string()),
        pa.field("format", pa.string()),
        pa.field("first_row", pa.int64()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("files", pa.list_(pa.string())),
        pa.field("repeats", pa.list_(pa.int64())),
        pa.field("shard_bytes", pa.int64()),
    ]
)
_SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("seen", pa.int64()),
        pa.field("bytes", pa.int64()),
        pa.field("pieces", pa.list_(_PIECE)),
    ]
)


@dataclass(frozen=True, slots=True)
class PlanTotals:
    """The plan in numbers, as kept in the job file."""

    units: int
    seen: int | None
    """Files that will be met, None where it could not be counted beforehand."""
    bytes: int
    sha256: str
    """Of the plan file."""


def write_plan(final: str, units: Iterable[Unit], tmp: str) -> PlanTotals:
    """Write the units as they come; nothing of them is kept in memory."""
    count, seen, size = 0, 0, 0
    exact = True
    unfinished = storage.scratch(tmp, storage.name_of(final))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA, options=options) as writer:
        for unit in units:
            row: dict[str, Any] = {
                "number": unit.number,
                "seen": unit.seen,
                "bytes": unit.bytes,
                "pieces": [asdict(p) for p in unit.pieces],
            }
            writer.write_batch(pa.RecordBatch.from_pylist([row], schema=_SCHEMA))
            count, size = count + 1, size + unit.bytes
            exact = exact and unit.seen is not None
            seen += unit.seen or 0
    digest = storage.file_sha256(unfinished)
    storage.publish(unfinished, final, tmp)
    return PlanTotals(count, seen if exact else None, size, digest)


class Plan:
    """The units of a plan file, by number."""

    def __init__(self, path: str) -> None:
        here = storage.fetch(path)
        self._map = pa.memory_map(str(here))
        if storage.is_remote(path):
            here.unlink()  # the map keeps the copy
        self._file = pa.ipc.open_file(self._map)

    def __len__(self) -> int:
        return int(self._file.num_record_batches)

    def __getitem__(self, number: int) -> Unit:
        row = self._file.get_batch(number).to_pylist()[0]
        pieces = tuple(
            Piece(**{**p, "files": tuple(p["files"]), "repeats": tuple(p["repeats"])}) for p in row["pieces"]
        )
        return Unit(row["number"], pieces, row["seen"], row["bytes"])
