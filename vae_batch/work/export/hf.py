"""A folder for the Hugging Face hub: Parquet under the names that `datasets` expects, and a card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields

import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch.latents.arrays import to_array, to_numbers
from vae_batch.latents.footer import Footer
from vae_batch.latents.generated import FEATURES, IMAGE
from vae_batch.latents.pictures import PictureReader
from vae_batch.latents.row_groups import RowGroups
from vae_batch.latents.schema import ROW_GROUP_BYTES, storage_options, vector
from vae_batch.work.export.data_set import DataSet, Stretch, pictures_of
from vae_batch.work.export.destination import Destination, on_all_cores
from vae_batch.work.export.hf_card import card
from vae_batch.work.generate_card import README

_OF_A_PART = {field.name for field in fields(Footer)}
"""Keys of a footer that speak of one part; the others are the same in all."""


def write_hf(data: DataSet, target: Destination, shard_rows: int | None) -> int:
    """Write a Parquet file for each stretch, and the card; give how many files there are.

    `datasets` sees latents as nested lists in their own shape, and pictures as images. A card that is there, with what
    a person wrote into it, stays.
    """
    stretches, schema = data.stretches(shard_rows), _schema(data)
    files = {f"data/train-{s.number:05d}-of-{len(stretches):05d}.parquet": s for s in stretches}
    todo = target.missing(list(files))
    target.say(f"{len(todo):,} of {len(files):,} files to write.")
    on_all_cores(lambda name: _write_file(data, target, schema, name, files[name]), todo)
    if target.missing([README]):
        target.write(README, card(data, schema).encode())
    return len(files)


def _schema(data: DataSet) -> pa.Schema:
    """Give the columns in the order of the parts; a picture stands where it is in parts that hold pictures."""
    columns = []
    for field in data.schema:
        if field.name in data.latents:
            columns.append(pa.field(field.name, _nested(data.value_type(field.name), data.latents[field.name])))
        elif field.name in data.columns:
            plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            columns.append(pa.field(field.name, plain))
        if data.generated and field.name == "index":
            columns.append(pa.field("image", IMAGE))
    said: Mapping[bytes, bytes] = data.schema.metadata or {}
    common = {key: value for key, value in said.items() if key.decode().removeprefix("vae_batch.") not in _OF_A_PART}
    features = {b"huggingface": json.dumps(FEATURES).encode()} if data.generated else {}
    return pa.schema(columns, metadata={**common, **features})


def _nested(kind: pa.DataType, shape: tuple[int, ...]) -> pa.DataType:
    for size in reversed(shape):
        kind = vector(kind, size)
    return kind


def _write_file(data: DataSet, target: Destination, schema: pa.Schema, name: str, stretch: Stretch) -> None:
    groups, waiting = RowGroups(schema, _rows_of_a_group(data)), list[pa.RecordBatch]()
    with (
        target.writing(name) as unfinished,
        pq.ParquetWriter(unfinished, schema, **storage_options(schema)) as writer,
        PictureReader(data.layout) as pictures,
    ):
        for batch in data.batches(stretch, [*data.columns, *data.latents, *data.picture_columns()]):
            for piece, begins in groups.split(_converted(data, schema, batch, pictures)):
                if begins and waiting:
                    writer.write_table(pa.Table.from_batches(waiting), row_group_size=sum(map(len, waiting)))
                    waiting = []
                waiting.append(piece)
        writer.write_table(pa.Table.from_batches(waiting), row_group_size=sum(map(len, waiting)))


def _rows_of_a_group(data: DataSet) -> int:
    row: int = sum(math.prod(shape) * 4 for shape in data.latents.values())
    return max(1, min(1024, ROW_GROUP_BYTES // row))


def _converted(data: DataSet, schema: pa.Schema, batch: pa.RecordBatch, reader: PictureReader) -> pa.RecordBatch:
    columns = []
    for field in schema:
        if field.name in data.latents:
            values = to_numbers(batch.column(field.name), data.latents[field.name])
            columns.append(to_array(values, field.type, len(batch)))
        elif field.name == "image" and data.generated:
            pictures = [{"bytes": content, "path": name} for name, content in pictures_of(batch, reader)]
            columns.append(pa.array(pictures, IMAGE))
        else:
            columns.append(batch.column(field.name).cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
