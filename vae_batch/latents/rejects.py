"""The rejects of a data set: read from the files that its footers name, and grouped. Needs neither Ray nor torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.footer import read_footers
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.part import REJECTS_SCHEMA, read_rejects

SCHEMA = pa.schema([pa.field("unit", pa.int64(), nullable=False), *REJECTS_SCHEMA])
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Group:
    """Rejects of one stage and error class."""

    stage: str
    error: str
    count: int
    examples: list[dict[str, Any]]
    """Up to three, as rows of the table."""


def rejects(out: str | Path) -> pa.Table:
    """Read the rejects of a data set, finished or not.

    Only files that a part names count. They are mapped into memory, not copied.

    Returns:
        One row for each, in the order of the units: `unit`, `id`, `shard`, `row` (position in the shard), `stage`
        (read, decode, transform or encode), `error` (class), `message`, `sha256` (of the image's bytes, or null).

    Raises:
        OutputError: no job's output, or a part or a rejects file is missing or damaged.
    """
    layout = Layout.of(out)
    JobFile.load(layout)
    tables = [_of_unit(layout, unit, name) for unit, name in rejects_files(layout)]
    return pa.concat_tables([SCHEMA.empty_table(), *tables])


def rejects_files(layout: Layout) -> Iterator[tuple[int, str]]:
    """The units that have a part with rejects, each with the name of its rejects file. Raises OutputError."""
    present = sorted(layout.parts()[0])
    footers = read_footers(layout.part(u) for u in present)
    for unit, footer in zip(present, footers, strict=True):
        if isinstance(footer, OutputError):
            raise footer
        if footer.rejects_file:
            yield unit, footer.rejects_file


def group(table: pa.Table) -> list[Group]:
    """Group rejects by stage and error class, the largest group first."""
    counts = table.group_by(["stage", "error"]).aggregate([([], "count_all")]).to_pylist()
    counts.sort(key=lambda c: (-c["count_all"], c["stage"], c["error"]))
    return [Group(c["stage"], c["error"], c["count_all"], _examples(table, c["stage"], c["error"])) for c in counts]


def _examples(table: pa.Table, stage: str, error: str) -> list[dict[str, Any]]:
    mask = pc.and_(pc.equal(table["stage"], stage), pc.equal(table["error"], error))
    rows: list[dict[str, Any]] = table.filter(mask).slice(0, EXAMPLES).to_pylist()
    return rows


def _of_unit(layout: Layout, unit: int, name: str) -> pa.Table:
    path = storage.join(layout.rejects, storage.name_of(name))
    try:
        table = read_rejects(path)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"the rejects file {path} is missing or damaged: {error}; see `vae-batch verify`") from None
    return table.add_column(0, SCHEMA.field("unit"), pa.repeat(pa.scalar(unit, pa.int64()), len(table))).cast(SCHEMA)
