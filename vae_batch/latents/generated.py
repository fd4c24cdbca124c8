"""The columns of a generated data set."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from vae_batch.latents.schema import ROW_GROUP_BYTES, vector
from vae_batch.specs import PictureFormat

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""Hugging Face's type of an image."""

FEATURES = {"info": {"features": {"image": {"_type": "Image"}}}}
"""By which `datasets` shows it."""


@dataclass(frozen=True, slots=True)
class GenerateSchema:
    """What decides the columns; the Arrow schema is a function of it."""

    latent_shape: tuple[int, ...]
    image_bytes: int
    """Of one picture, about."""
    origin: tuple[tuple[str, str], ...]
    """Columns of the sampler: name and Arrow type."""
    predicted: tuple[str, ...]
    """Columns of the probes, float32."""
    pictures: PictureFormat
    """Where they are: in the part, or beside it."""
    metadata: Mapping[str, str]
    """Put in every file: model digest, seed, sampler …"""

    @property
    def dims(self) -> int:
        """Numbers in one latent."""
        return math.prod(self.latent_shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row and its picture, about, wherever that is."""
        return self.image_bytes + self._own_bytes

    @property
    def _own_bytes(self) -> int:
        return 4 * self.dims + 80 + 16 * len(self.origin) + 4 * len(self.predicted)

    @property
    def row_group_rows(self) -> int:
        """Rows of a row group: about 32 MB, a function of the spec; `RowGroups` counts the pictures' own bytes."""
        row = self.row_bytes if self.pictures == "parquet" else self._own_bytes
        return max(1, min(8192, ROW_GROUP_BYTES // row))

    def arrow(self) -> pa.Schema:
        """Build the schema, with the features by which `datasets` shows pictures."""
        shape = {"shape": json.dumps(list(self.latent_shape))}
        fields = [
            pa.field("id", pa.string(), nullable=False),
            pa.field("index", pa.int64(), nullable=False),
            *([pa.field("image", IMAGE)] if self.pictures == "parquet" else []),
            pa.field("latent", vector(pa.float32(), self.dims), nullable=False, metadata=shape),
            pa.field("seed", pa.uint64(), nullable=False),
            *(pa.field(name, pa.type_for_alias(kind)) for name, kind in self.origin),
            *(pa.field(name, pa.float32(), nullable=False) for name in self.predicted),
        ]
        if self.pictures == "parquet":
            return pa.schema(fields, metadata={**self.metadata, "huggingface": json.dumps(FEATURES)})
        fields += [pa.field("file", pa.string(), nullable=False), pa.field("sha256", pa.string(), nullable=False)]
        return pa.schema(fields, metadata=dict(self.metadata))


def image_id(index: int) -> str:
    """Name a generated image by its number."""
    return f"{index:09d}"
