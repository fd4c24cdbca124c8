"""The plan file: the units, one record batch each, read one at a time through a memory map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from vae_batch.latents.ipc import open_ipc, write_ipc
from vae_batch.latents.layout import Layout
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


def write_plan(layout: Layout, units: Iterable[Unit]) -> PlanTotals:
    """Write the units as they come; nothing of them is kept in memory. A plan counts once the job file names it."""
    count, seen, size = 0, 0, 0
    exact = True

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal count, seen, size, exact
        for unit in units:
            row: dict[str, Any] = {
                "number": unit.number,
                "seen": unit.seen,
                "bytes": unit.bytes,
                "pieces": [asdict(p) for p in unit.pieces],
            }
            yield pa.RecordBatch.from_pylist([row], schema=_SCHEMA)
            count, size = count + 1, size + unit.bytes
            exact = exact and unit.seen is not None
            seen += unit.seen or 0

    digest = write_ipc(_SCHEMA, batches(), layout.plan, layout.tmp)
    return PlanTotals(count, seen if exact else None, size, digest)


class Plan:
    """The units of a plan file, by number."""

    def __init__(self, file: pa.RecordBatchFileReader) -> None:
        self._file = file

    def __len__(self) -> int:
        return int(self._file.num_record_batches)

    def __getitem__(self, number: int) -> Unit:
        row = self._file.get_batch(number).to_pylist()[0]
        pieces = tuple(
            Piece(**{**p, "files": tuple(p["files"]), "repeats": tuple(p["repeats"])}) for p in row["pieces"]
        )
        return Unit(row["number"], pieces, row["seen"], row["bytes"])


def open_plan(layout: Layout, totals: PlanTotals) -> Plan:
    """Open the plan that the job file names.

    Raises:
        OutputError: it is missing, or not that plan.
    """
    return Plan(open_ipc(layout.plan(totals.sha256), totals.sha256, "plan"))
