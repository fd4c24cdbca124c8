"""What the source was made of when it was planned: paths and sizes, kept to tell later what is new, gone or changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from vae_batch.latents.ipc import open_ipc, write_ipc
from vae_batch.latents.layout import Layout

SCHEMA = pa.schema([pa.field("path", pa.large_string()), pa.field("size", pa.int64())])
"""size in bytes; null for a file that is planned but gone: it was a reject, and --retry-rejects let it go."""

DUCKDB_MEMORY = "1GB"
EXAMPLES = 5

# A sidecar is listed behind each image that it belongs to, so how often it is there says nothing.
_DIFFERENCE = """
with old as (select path, min(size) a, max(size) b, count(*) filter (not ends_with(path, '.json')) c
             from kept group by path),
     new as (select path, min(size) a, max(size) b, count(*) filter (not ends_with(path, '.json')) c
             from found group by path)
select coalesce(old.path, new.path) as path,
       case when old.path is null then 'new' when new.path is null then 'gone' else 'changed' end as what
from old full outer join new on old.path = new.path
where case when old.path is null then true when new.path is null then old.a is not null
           else (old.a, old.b, old.c) is distinct from (new.a, new.b, new.c) end
order by path
"""


@dataclass(frozen=True, slots=True)
class Change:
    """How a source differs from what was planned; each a sorted Arrow column of paths."""

    new: pa.Array
    gone: pa.Array
    changed: pa.Array
    """Of another size than when they were planned."""

    def __bool__(self) -> bool:
        return any(len(paths) for paths in (self.new, self.gone, self.changed))

    def table(self) -> str:
        """Counts and up to a few names, for a message."""
        named = {"new": self.new, "gone": self.gone, "changed": self.changed}
        return "\n".join(f"  {what:8} {some(paths)}" for what, paths in named.items() if len(paths))


NO_CHANGE = Change(*(pa.array([], pa.large_string()) for _ in range(3)))


def some(paths: pa.Array) -> str:
    """How many, and up to a few of them."""
    more = f" and {len(paths) - EXAMPLES:,} more" if len(paths) > EXAMPLES else ""
    return f"{len(paths):,}: {', '.join(p.as_py() for p in paths[:EXAMPLES])}{more}"


def write_collection(layout: Layout, batches: Iterable[pa.RecordBatch], gone: pa.Array | None = None) -> str:
    """Keep a source's paths and sizes in OUT.

    Args:
        layout: OUT's.
        batches: of `SCHEMA`.
        gone: paths that units hold and that are no more.

    Returns:
        sha256 of the file, which names it.
    """

    def all_batches() -> Iterator[pa.RecordBatch]:
        yield from batches
        if gone is not None and len(gone):
            sizes = pa.nulls(len(gone), pa.int64())
            yield pa.RecordBatch.from_arrays([gone.cast(pa.large_string()), sizes], schema=SCHEMA)

    return write_ipc(SCHEMA, all_batches(), layout.collection, layout.tmp)


def compare(layout: Layout, kept: str, found: Iterable[pa.RecordBatch]) -> Change:
    """Say how a source differs from the one that was kept, out of core.

    Args:
        layout: OUT's.
        kept: digest of the kept file.
        found: the source as it is now, batches of `SCHEMA`.

    Raises:
        OutputError: the kept file is missing or damaged.
    """
    reader = _open(layout, kept)
    batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
    with duckdb.connect(config={"memory_limit": DUCKDB_MEMORY}) as db:
        db.register("kept", pa.RecordBatchReader.from_batches(SCHEMA, batches))
        db.register("found", pa.RecordBatchReader.from_batches(SCHEMA, found))
        table = db.sql(_DIFFERENCE).to_arrow_table()
    return Change(*(_paths(table, what) for what in ("new", "gone", "changed")))


def missing_again(layout: Layout, kept: str, change: Change) -> pa.Array:
    """Paths that units hold and that are not in the source now: those gone before, less what came back."""
    table = _open(layout, kept).read_all()
    before = table.filter(table["size"].is_null())["path"].combine_chunks()
    back = pa.compute.is_in(before, value_set=change.changed.cast(before.type))
    return pa.concat_arrays([before.filter(pa.compute.invert(back)), change.gone.cast(before.type)])


def _open(layout: Layout, kept: str) -> pa.RecordBatchFileReader:
    return open_ipc(layout.collection(kept), kept, "list of the source's files")


def _paths(table: pa.Table, what: str) -> pa.Array:
    chosen = table.filter(pa.compute.equal(table["what"], what))["path"].combine_chunks()
    return chosen.cast(pa.large_string())
