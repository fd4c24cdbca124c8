"""The columns of an encoded data set, and how each is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch.latents.labels import TYPES, LabelColumn, check_names
from vae_batch.types import Scaling

ROW_GROUP_BYTES = 32 << 20

_UNIQUE = frozenset(["id", "sha256", "file", "image.path"])
"""Texts of which no two are alike."""


@dataclass(frozen=True, slots=True)
class EncodeSchema:
    """What decides the columns; the Arrow schema is a function of it."""

    latent_shape: tuple[int, ...]
    samples: int
    diagnostics: bool
    sha256: bool
    store: str
    labels: tuple[LabelColumn, ...]
    metadata: Mapping[str, str]
    """Put in every file: model digest, seed, transform …"""
    scaling: Scaling | None = None
    """Applied to mean, variance and sample."""

    @property
    def dims(self) -> int:
        """Numbers in one latent."""
        return math.prod(self.latent_shape)

    @property
    def row_bytes(self) -> int:
        """Uncompressed bytes of a row, labels and texts guessed."""
        value = 2 if self.store == "float16" else 4
        return self.dims * (value * (1 + self.samples) + 4) + 80 + 8 * len(self.labels) + 64 * self.sha256

    @property
    def row_group_rows(self) -> int:
        """Rows of a row group: about 32 MB, a function of the spec; `RowGroups` counts what texts add."""
        return max(1, min(8192, ROW_GROUP_BYTES // self.row_bytes))

    def arrow(self) -> pa.Schema:
        """Build the schema.

        Raises:
            SpecError: a label's name clashes with one of ours.
        """
        value = pa.float16() if self.store == "float16" else pa.float32()
        shape = json.dumps(list(self.latent_shape))
        latent, variance = vector(value, self.dims), vector(pa.float32(), self.dims)
        fields = [
            pa.field("id", pa.string(), nullable=False),
            pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("row", pa.int64(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("mean", latent, nullable=False, metadata={"shape": shape}),
            pa.field("variance", variance, metadata={"shape": shape}),
        ]
        if self.samples:
            sample = latent if self.samples == 1 else vector(latent, self.samples)
            fields.append(pa.field("sample", sample, nullable=False, metadata={"shape": shape}))
        fields.append(pa.field("kl", pa.float32(), metadata={"unit": "nats"}))
        if self.diagnostics:
            fields += [pa.field("mse", pa.float32()), pa.field("psnr", pa.float32(), metadata={"unit": "dB"})]
        if self.sha256:
            fields.append(pa.field("sha256", pa.string(), nullable=False))
        check_names(self.labels, [f.name for f in fields])
        fields += [pa.field(c.name, TYPES[c.type]) for c in self.labels]
        return pa.schema(fields, metadata=dict(self.metadata))


def vector(element: pa.DataType, size: int) -> pa.DataType:
    """Give the type of so many numbers a row."""
    return pa.list_(pa.field("element", element), size)


def rows_at_a_time(file: pq.ParquetFile) -> int:
    """Rows of a file to hold in memory together: about 32 MB, and at most 1,024."""
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    row = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1.0)
    return max(1, min(1024, int(ROW_GROUP_BYTES / max(1.0, row))))


def storage_options(schema: pa.Schema) -> dict[str, object]:
    """Give `ParquetWriter` its options: byte-stream-split for floats, dictionaries for texts that repeat.

    The path of a list's values is `mean.list.element`; plain `mean` would be ignored silently. Pictures, which are
    compressed, are left as they are.
    """
    split, dictionary, statistics, plain = [], [], [], []
    for path, kind in _leaves(schema):
        if pa.types.is_float32(kind) or pa.types.is_float64(kind):
            split.append(path)
        elif pa.types.is_dictionary(kind) or (pa.types.is_string(kind) and path not in _UNIQUE):
            dictionary.append(path)
        if pa.types.is_binary(kind):
            plain.append(path)
        elif "." not in path:
            statistics.append(path)
    compression: object = "zstd"
    if plain:
        compression = {path: "none" if path in plain else "zstd" for path, _ in _leaves(schema)}
    return {
        "compression": compression,
        "use_dictionary": dictionary or False,
        "use_byte_stream_split": split or False,
        "write_statistics": statistics,
    }


def _leaves(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType]]:
    """The columns as Parquet has them: path and type."""
    for field in schema:
        if pa.types.is_struct(field.type):
            yield from ((f"{field.name}.{child.name}", child.type) for child in field.type)
            continue
        path, kind = field.name, field.type
        while pa.types.is_fixed_size_list(kind):
            path, kind = f"{path}.list.element", kind.value_type
        yield path, kind


def column_bytes(schema: pa.Schema, rows: int) -> dict[str, int]:
    """Estimate each column's uncompressed bytes for so many rows, texts at 40 bytes."""

    def width(kind: pa.DataType) -> int:
        if pa.types.is_fixed_size_list(kind):
            return int(kind.list_size) * width(kind.value_type)
        if pa.types.is_string(kind):
            return 40
        return 1 if pa.types.is_dictionary(kind) else max(1, int(kind.bit_width) // 8)

    return {field.name: rows * width(field.type) for field in schema}


def latent_shape(schema: pa.Schema) -> tuple[int, ...]:
    """Read the latent's shape from a file's schema."""
    shape: Sequence[int] = json.loads(schema.field("mean").metadata[b"shape"])
    return tuple(shape)
