"""Digests of what a part says, independent of how Parquet laid it out and of the batches it came in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Digests:
    """SHA-256 over each column's values as they pass by."""

    def __init__(self, schema: pa.Schema) -> None:
        self._streams: dict[tuple[str, str], Any] = {}
        self._types = {field.name: str(field.type) for field in schema}

    def update(self, batch: pa.RecordBatch) -> None:
        """Take in the next rows."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            for stream, data in _streams(column):
                self._streams.setdefault((name, stream), hashlib.sha256()).update(data)

    def values_sha256(self) -> str:
        """Digest of every column's name, type and values."""
        total = hashlib.sha256(repr(sorted(self._types.items())).encode())
        for key in sorted(self._streams):
            total.update(f"{key} {self._streams[key].hexdigest()}\n".encode())
        return total.hexdigest()

    def ids_sha256(self) -> str:
        """Digest of the ids in order."""
        total = hashlib.sha256()
        for stream in ("lengths", "values"):
            if ("id", stream) in self._streams:
                total.update(self._streams["id", stream].digest())
        return total.hexdigest()


def _streams(column: pa.Array) -> Iterator[tuple[str, Any]]:
    """Split a column into streams of bytes that can be cut anywhere: which are null, lengths, values."""
    if len(column) == 0:
        return
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    yield "valid", np.ascontiguousarray(column.is_valid().to_numpy(zero_copy_only=False))
    column = column.drop_null() if column.null_count else column
    if pa.types.is_struct(column.type):
        for field, child in zip(column.type, column.flatten(), strict=True):
            yield from ((f"{field.name}.{stream}", data) for stream, data in _streams(child))
        return
    while pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        texts = column.cast(pa.binary())
        yield "lengths", np.ascontiguousarray(pc.binary_length(texts).to_numpy(zero_copy_only=False))
        yield "values", b"".join(texts.to_pylist())
    else:
        yield "values", np.ascontiguousarray(column.to_numpy(zero_copy_only=False))
