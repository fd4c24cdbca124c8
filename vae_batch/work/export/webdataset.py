"""Tars in the WebDataset convention: of each row its arrays, its picture if it has one, and a JSON of all else."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from vae_batch.latents.arrays import to_numbers
from vae_batch.latents.generated import image_id
from vae_batch.latents.pictures import PictureReader
from vae_batch.work.export.data_set import DataSet, Stretch, pictures_of
from vae_batch.work.export.destination import Destination, on_all_cores
from vae_batch.work.outlets import add_member


def write_webdataset(data: DataSet, target: Destination, shard_rows: int | None) -> int:
    """Write a tar for each stretch; give how many tars there are.

    A member is `KEY.mean.npy`, `KEY.png`, `KEY.json`. The key ends at the first dot of the name and ids may have some,
    so it is the row's position, or the number of a generated image; the id of an encoded one is in the JSON.
    """
    shards = {f"shard-{stretch.number:06d}.tar": stretch for stretch in data.stretches(shard_rows)}
    todo = target.missing(list(shards))
    target.say(f"{len(todo):,} of {len(shards):,} tars to write.")
    on_all_cores(lambda name: _write_tar(data, target, name, shards[name]), todo)
    return len(shards)


def _write_tar(data: DataSet, target: Destination, name: str, stretch: Stretch) -> None:
    with (
        target.writing(name) as unfinished,
        tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as tar,
        PictureReader(data.layout) as pictures,
    ):
        at = stretch.first
        for batch in data.batches(stretch, [*data.columns, *data.picture_columns(), *data.latents]):
            for member, content in _members(data, batch, at, pictures):
                add_member(tar, member, content)
            at += len(batch)


def _members(data: DataSet, batch: pa.RecordBatch, first: int, reader: PictureReader) -> Iterator[tuple[str, bytes]]:
    arrays = {name: to_numbers(batch.column(name), shape) for name, shape in data.latents.items()}
    pictures = pictures_of(batch, reader) if data.generated else None
    for at, row in enumerate(batch.select(data.columns).to_pylist()):
        key = image_id(row["index"] if data.generated else first + at)
        if pictures is not None:
            name, picture = next(pictures)
            yield f"{key}.{name.rpartition('.')[2]}", picture
            del row["id"]  # it is the key; as a label it would be in the way of whoever encodes the pictures
        yield f"{key}.json", json.dumps({name: _plain(value) for name, value in row.items()}).encode()
        for name, values in arrays.items():
            yield f"{key}.{name}.npy", _npy(values[at])


def _plain(value: Any) -> Any:
    """JSON has no number for what is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _npy(values: np.ndarray[Any, Any]) -> bytes:
    sink = io.BytesIO()
    np.save(sink, values, allow_pickle=False)
    return sink.getvalue()
