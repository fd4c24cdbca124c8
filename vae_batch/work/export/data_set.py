"""A data set as an export reads it: which rows there are, in what order, and how they are cut into files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.footer import read_footers
from vae_batch.latents.job import JobFile
from vae_batch.latents.layout import Layout
from vae_batch.latents.pictures import PictureReader
from vae_batch.latents.retry import load_retry
from vae_batch.latents.schema import ROW_GROUP_BYTES, rows_at_a_time

PICTURES = ("image", "file", "sha256")
"""Columns of a generated data set that hold a picture, or say where it is."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive rows of one part."""

    number: int
    """Among all stretches, from 0."""
    unit: int
    start: int
    """In the part."""
    stop: int
    first: int
    """Position of its first row in the whole data set."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """An encoded or generated data set."""

    layout: Layout
    job: JobFile
    parts: Mapping[int, int]
    """Rows of each part that has any, by unit, in order."""
    schema: pa.Schema
    """Of the parts."""
    digest: str
    """Of the job and of the rows of each part."""

    @property
    def generated(self) -> bool:
        """Whether it has pictures, and no posteriors."""
        return self.job.kind == "generate"

    @property
    def total(self) -> int:
        """Rows."""
        return sum(self.parts.values())

    @property
    def latents(self) -> dict[str, tuple[int, ...]]:
        """Columns of latents that are not null, with the shape of a row's value."""
        null = {"variance"} if self.job.model.get("deterministic") else set()
        return {f.name: _shape(f) for f in self.schema if f.metadata and b"shape" in f.metadata and f.name not in null}

    @property
    def columns(self) -> list[str]:
        """Columns that are neither latents nor pictures, nor null throughout."""
        null = {"variance", "kl"} if not self.generated and self.job.model["deterministic"] else set()
        left_out = {*self.latents, *null, *(PICTURES if self.generated else ())}
        return [name for name in self.schema.names if name not in left_out]

    def value_type(self, column: str) -> pa.DataType:
        """The type of a latent's numbers."""
        kind = self.schema.field(column).type
        while pt.is_fixed_size_list(kind):
            kind = kind.value_type
        return kind

    def stretches(self, rows: int | None = None) -> list[Stretch]:
        """Cut the data set into stretches of so many rows at most; None: a part each."""
        found, first = list[Stretch](), 0
        for unit, count in self.parts.items():
            for start in range(0, count, rows or count):
                stop = min(count, start + (rows or count))
                found.append(Stretch(len(found), unit, start, stop, first + start))
            first += count
        return found

    def batches(self, stretch: Stretch, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read columns of a stretch, at most 1,024 rows and about 32 MB at a time, pictures beside the part included.

        Raises:
            OutputError: the part is not what its footer says.
        """
        location, at = self.layout.part(stretch.unit), 0
        with storage.open_input(location) as source, pq.ParquetFile(source) as file:
            groups, first = _groups(file, stretch)
            most = min(rows_at_a_time(file), self._pictures_at_a_time)
            for batch in file.iter_batches(most, row_groups=groups, columns=list(columns), use_threads=False):
                start, stop = (min(max(row - first, 0), len(batch)) for row in (stretch.start, stretch.stop))
                first += len(batch)
                at += stop - start
                if stop > start:
                    yield batch.slice(start, stop - start)
        if at != stretch.stop - stretch.start:
            raise OutputError(f"{location} has fewer rows than its footer says; see `vae-batch verify`")

    @property
    def _pictures_at_a_time(self) -> int:
        side = self.job.fields["image_size"] if self.generated else 1
        return max(1, ROW_GROUP_BYTES // (3 * side * side))

    def picture_columns(self) -> list[str]:
        """What is to be read for the pictures."""
        return [name for name in PICTURES if name in self.schema.names] if self.generated else []


def _groups(file: pq.ParquetFile, stretch: Stretch) -> tuple[list[int], int]:
    """Find the row groups that hold a stretch, and the first row of the first of them."""
    ends = np.cumsum([file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)])
    low = int(np.searchsorted(ends, stretch.start, side="right"))
    high = min(int(np.searchsorted(ends, stretch.stop, side="left")) + 1, len(ends))
    return list(range(low, high)), int(ends[low - 1]) if low else 0


def pictures_of(batch: pa.RecordBatch, reader: PictureReader) -> Iterator[tuple[str, bytes]]:
    """Give the name and the bytes of each row's picture.

    Raises:
        OutputError: one beside the part is gone, or is not what the part says.
        OSError: it cannot be read.
    """
    for row in batch.select([name for name in PICTURES if name in batch.schema.names]).to_pylist():
        if "image" in row:
            yield row["image"]["path"], row["image"]["bytes"]
            continue
        try:
            data = reader.read(row["file"])
        except FileNotFoundError:
            raise OutputError(f"{row['file']} is gone; see `vae-batch verify`") from None
        if storage.bytes_sha256(data) != row["sha256"]:
            raise OutputError(f"{row['file']}: its content is not what the part says; see `vae-batch verify`")
        yield storage.name_of(row["file"]), data


def _shape(field: pa.Field) -> tuple[int, ...]:
    shape = tuple(json.loads(field.metadata[b"shape"]))
    draws = field.type.list_size if pt.is_fixed_size_list(field.type.value_type) else None
    assert draws is not None or field.type.list_size == math.prod(shape)
    return (draws, *shape) if draws is not None else shape


def open_data_set(out: str, partial: bool = False) -> DataSet:
    """Open a data set; reads footers only.

    Args:
        out: a folder or a URI.
        partial: take the parts that there are of one that is not finished.

    Raises:
        OutputError: it is none, not finished, has no row, or a part of it is damaged.
    """
    layout = Layout.of(out)
    job = JobFile.load(layout)
    units = sorted(layout.parts()[0] & set(range(job.plan.units)))
    if not partial and (len(units) < job.plan.units or load_retry(layout) is not None):
        raise OutputError(
            f"{layout.out} is not finished: {len(units):,} of {job.plan.units:,} parts are there. Let its job go on, "
            "or give --partial to export what there is"
        )
    parts, known = dict[int, int](), []
    for unit, footer in zip(units, read_footers(map(layout.part, units)), strict=True):
        if isinstance(footer, OutputError):
            raise footer
        if footer.fingerprint != job.fingerprint:
            raise OutputError(f"{layout.part_name(unit)} is another job's; see `vae-batch verify {out}`")
        known.append([unit, footer.rows, footer.ids_sha256, footer.values_sha256])
        parts |= {unit: footer.rows} if footer.rows else {}
    if not parts:
        raise OutputError(f"{layout.out} has no row; see `vae-batch status {out}`")
    with storage.open_input(layout.part(next(iter(parts)))) as file:
        schema = pq.read_schema(file)
    return DataSet(layout, job, parts, schema, storage.json_sha256([job.fingerprint, known]))
