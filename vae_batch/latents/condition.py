"""From what a user calls an attribute, a column or a condition, to the SQL condition that says which rows have it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as ds

from vae_batch.errors import SpecError
from vae_batch.latents.where import ask


def condition(dataset: ds.Dataset, asked: str, option: str) -> tuple[str, str]:
    """Make an SQL condition of a column's name; anything else is one already.

    A column of bools is the condition itself. Of numbers: of two values the larger one has the attribute, of more those
    above the median (at it, where none is above). A row without a value neither has it nor lacks it.

    Args:
        dataset: the parts.
        asked: what the user gave.
        option: where, for messages.

    Returns:
        The condition, and a line about a median; empty where there is none.

    Raises:
        SpecError: the column is of neither bools nor numbers, or has one value only.
    """
    if asked not in dataset.schema.names or pa.types.is_boolean(dataset.schema.field(asked).type):
        return (_quoted(asked) if asked in dataset.schema.names else asked), ""
    if not is_number(dataset.schema.field(asked).type):
        raise SpecError(
            f"{option} {asked}: the column holds {dataset.schema.field(asked).type}, neither bools nor numbers; give a "
            f"condition, such as {_quoted(asked)} = 'value'"
        )
    value = f"cast({_quoted(asked)} as double)"
    low, high, median, between = _spread(dataset, value, f"{option} {asked!r}")
    if low is None or high is None or low == high:
        raise SpecError(f"{option} {asked}: the column has the value {low} only, so that no row differs in it")
    if not between:
        return _known(value, ">", low), ""
    sign = ">" if median < high else ">="
    which = "above it" if median < high else "at it"
    return _known(value, sign, median), f"{option} {asked}: split at its median, {median:.4g}: rows {which} have it."


def is_number(kind: pa.DataType) -> bool:
    """Whether a column is of bools, integers or floats."""
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _spread(dataset: ds.Dataset, value: str, named: str) -> tuple[float | None, float | None, float, int]:
    """Least, largest and median value, and how many rows lie between the first two."""
    known = f"(select {value} as v from latents where not isnan({value}))"
    query = f"""
        with ends as (select min(v) as low, max(v) as high, median(v) as middle from {known})
        select any_value(low), any_value(high), any_value(middle), count(v) filter (v > low and v < high)
        from ends left join {known} on true"""
    (row,) = (row for batch in ask(dataset, query, named) for row in batch.to_pylist())
    low, high, median, between = row.values()
    return low, high, median, between


def _known(value: str, sign: str, split: float) -> str:
    return f"case when not isnan({value}) then {value} {sign} cast('{split!r}' as double) end"


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
