"""Columns of numbers to Arrow and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa


def to_array(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    """Turn a column into Arrow; numpy (N, D) or (N, K, D) becomes (nested) fixed-size lists, None all nulls."""
    if isinstance(values, pa.Array):
        return values
    if values is None:
        return pa.nulls(rows, kind)
    levels = []
    while pa.types.is_fixed_size_list(kind):
        levels.append(kind)
        kind = kind.value_type
    if levels:
        values = np.ascontiguousarray(values).reshape(-1)
    array = pa.array(values, type=kind)
    for level in reversed(levels):
        array = pa.FixedSizeListArray.from_arrays(array, type=level)
    return array


def to_numbers(column: pa.Array, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Turn (nested) fixed-size lists without nulls into (N, *shape), in their own type."""
    rows = len(column)
    while pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(rows, *shape)
