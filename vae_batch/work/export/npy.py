"""Numpy arrays, a file for each column of latents, to be mapped into memory; all else in one Parquet file beside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap

from vae_batch.latents.arrays import to_numbers
from vae_batch.latents.pictures import PictureReader
from vae_batch.latents.schema import storage_options
from vae_batch.work.export.data_set import DataSet, pictures_of
from vae_batch.work.export.destination import Destination, patiently

META = "meta.json"
"""Written last: shapes, types, and what it was made from."""
ROWS = "rows.parquet"


def write_npy(data: DataSet, target: Destination) -> int:
    """Write the arrays, which `np.load` reads without pickle; give how many files there are.

    `mean.npy`, `variance.npy`, `sample.npy`, or `latent.npy` have the shape (N, *latent) and the type that is stored;
    `ids.npy` N strings; of a generated data set `images.npy` has (N, H, W, 3) uint8. All are in one order.
    """
    makers: dict[str, Callable[[Path], Any]] = {f"{c}.npy": partial(_write_latents, data, c) for c in data.latents}
    makers |= {"images.npy": partial(_write_images, data)} if data.generated else {}
    makers |= {"ids.npy": partial(_write_ids, data), ROWS: partial(_write_rows, data)}
    makers[META] = lambda unfinished: unfinished.write_text(json.dumps(_meta(data), indent=1) + "\n")
    todo = target.missing(list(makers))
    target.say(f"{len(todo):,} of {len(makers):,} files to write.")
    for name in todo:
        patiently(lambda name: _write(target, name, makers[name]), name)
    return len(makers)


def _write(target: Destination, name: str, make: Callable[[Path], Any]) -> None:
    with target.writing(name) as unfinished:
        make(unfinished)


def _batches(data: DataSet, columns: list[str]) -> Iterator[tuple[slice, pa.RecordBatch]]:
    """Iterate over all rows: their places, and a batch of them."""
    for stretch in data.stretches():
        at = stretch.first
        for batch in data.batches(stretch, columns):
            yield slice(at, at + len(batch)), batch
            at += len(batch)


def _write_latents(data: DataSet, column: str, unfinished: Path) -> None:
    array = open_memmap(unfinished, "w+", *_form(data, column))
    for place, batch in _batches(data, [column]):
        array[place] = to_numbers(batch.column(column), data.latents[column])
    array.flush()


def _form(data: DataSet, column: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    return np.dtype(data.value_type(column).to_pandas_dtype()), (data.total, *data.latents[column])


def _write_images(data: DataSet, unfinished: Path) -> None:
    from vae_batch.images.decode import decode  # not at the top: torch comes with it

    array = open_memmap(unfinished, "w+", *_images_form(data))
    with PictureReader(data.layout) as reader:
        for place, batch in _batches(data, data.picture_columns()):
            for at, (_, picture) in enumerate(pictures_of(batch, reader), place.start):
                array[at] = decode(picture)
    array.flush()


def _images_form(data: DataSet) -> tuple[np.dtype[Any], tuple[int, ...]]:
    side = data.job.fields["image_size"]
    return np.dtype(np.uint8), (data.total, side, side, 3)


def _write_ids(data: DataSet, unfinished: Path) -> None:
    most = max(pc.max(pc.utf8_length(batch.column("id"))).as_py() for _, batch in _batches(data, ["id"]))
    array = open_memmap(unfinished, "w+", np.dtype(f"<U{max(1, most)}"), (data.total,))
    for place, batch in _batches(data, ["id"]):
        array[place] = batch.column("id").to_pylist()
    array.flush()


def _write_rows(data: DataSet, unfinished: Path) -> None:
    schema = pa.schema([_plain(data.schema.field(name)) for name in data.columns])
    with pq.ParquetWriter(unfinished, schema, **storage_options(schema)) as writer:
        for _, batch in _batches(data, data.columns):
            columns = [batch.column(field.name).cast(field.type) for field in schema]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _plain(field: pa.Field) -> pa.Field:
    """Texts that a part keeps as a dictionary of its own are texts."""
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


def _meta(data: DataSet) -> dict[str, Any]:
    arrays = {f"{column}.npy": _form(data, column) for column in data.latents}
    arrays |= {"images.npy": _images_form(data)} if data.generated else {}
    return {
        "kind": data.job.kind,
        "rows": data.total,
        "arrays": {name: {"dtype": str(dtype), "shape": shape} for name, (dtype, shape) in arrays.items()},
        "model": data.job.model["digest"],
        "latent_shape": data.job.model["latent_shape"],
        "scaled": bool(data.job.fields.get("scaled")),
        "seed": data.job.fields["seed"],
        "data_set": data.digest,
    }
