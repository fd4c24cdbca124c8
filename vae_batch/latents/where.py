"""Choosing rows of an encoded data set by an SQL expression over its columns; DuckDB works it out, streaming."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds

from vae_batch.errors import SpecError
from vae_batch.latents.collection import DUCKDB_MEMORY

Mask = npt.NDArray[np.bool_]

_CONFIG = {
    "memory_limit": DUCKDB_MEMORY,
    "threads": 1,  # rows stay in their order
    "enable_external_access": False,  # an expression is a condition: it reads no file, and writes none
    "python_enable_replacements": False,
}


def choose(dataset: ds.Dataset, where: str, rows: Sequence[int], named: str) -> Iterator[Mask]:
    """Work out an expression for each row; null counts as false.

    Args:
        dataset: the parts. The table `latents` is the whole of it, for expressions with a query in them.
        where: such as `Smiling AND NOT Male`; names that are no plain words go in double quotes.
        rows: of each part.
        named: what messages call it.

    Returns:
        One mask for each part.

    Raises:
        SpecError: DuckDB does not understand it, there is no such column, or it does not speak of each row alone.
    """
    query = f"select coalesce(cast((\n{where}\n) as boolean), false) as chosen from latents"
    masks = [batch.column(0).to_numpy(zero_copy_only=False) for batch in ask(dataset, query, named)]
    mask = np.concatenate([np.zeros(0, bool), *masks])
    if len(mask) != sum(rows):
        raise SpecError(
            f"{named} gives {len(mask):,} answers for {sum(rows):,} rows: it must be a condition on each "
            "row, and sums over all of them go into a query, as in kl > (select avg(kl) from latents)"
        )
    return iter(np.split(mask, np.cumsum(rows)[:-1]))


def ask(dataset: ds.Dataset, query: str, named: str) -> Iterator[pa.RecordBatch]:
    """Iterate over what a query gives; the table `latents` is the whole data set, in its order. Raises as `choose`."""
    seen = dataset.replace_schema(pa.schema([f for f in dataset.schema if not _is_half(f.type)]))
    try:
        with duckdb.connect(config=_CONFIG) as db:
            db.register("latents", seen)
            yield from db.sql(query).to_arrow_reader()
    except duckdb.Error as error:
        reason = str(error).strip().partition("\n")[0]
        raise SpecError(f"{named}: {reason} The columns are {', '.join(seen.schema.names)}") from None


def _is_half(kind: pa.DataType) -> bool:
    """Whether these are numbers that DuckDB cannot read."""
    while pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_float16(kind))
