"""Making a unit again beside its part, and comparing: the check that needs the source and the model."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.images.decode import decode
from vae_batch.latents.footer import read_footer
from vae_batch.latents.layout import Layout
from vae_batch.latents.pictures import PictureReader
from vae_batch.latents.schema import rows_at_a_time
from vae_batch.types import Unit
from vae_batch.work.maker import UnitMaker

TOLERANCE = {"fp32": 1e-5, "bf16": 5e-2, "fp16": 5e-3}
"""Allowed |difference| over max(1, |value|) where batch shape, device or libraries differ."""

PIXELS = 2e-3
"""Allowed mean difference of a picture then, pixels in [0, 1]: half a grey level."""


def recompute(maker: UnitMaker, unit: Unit, most: int | None = None) -> list[str]:
    """Make a unit again into a temporary folder and compare it with the published part.

    As many images at once as the part's footer says. With equal numerics the values must be equal to the bit;
    otherwise within `TOLERANCE`.

    Args:
        maker: of the part's job.
        unit: the part's.
        most: images at once, at most.

    Returns:
        Findings, empty if all is well.
    """
    published = Layout(maker.job.out)
    name = published.part_name(unit.number)
    with tempfile.TemporaryDirectory() as folder:
        again = Layout(folder)
        again.make()
        try:
            old = read_footer(published.part(unit.number))
            batch_size = int(json.loads(old.numerics)["batch_size"])
            maker.make(unit, again, min(batch_size, most or batch_size))
            new = read_footer(again.part(unit.number))
        except OutputError as error:
            return [str(error)]
        counts = [(f.rows, f.rejects, f.skipped, f.excluded) for f in (old, new)]
        if counts[0] != counts[1]:
            return [
                f"{name}: made again it has {new.rows} rows, {new.rejects} rejects, {new.skipped} skipped, "
                f"{new.excluded} excluded, not {', '.join(map(str, counts[0]))}"
            ]
        tolerance = 0.0 if old.numerics == new.numerics else TOLERANCE[maker.job.precision]
        with _opened(published.part(unit.number)) as before, _opened(again.part(unit.number)) as after:
            with PictureReader(published) as old_files, PictureReader(again) as new_files:
                findings = _compare(before, after, tolerance, (old_files, new_files))
            return [f"{name}: {finding}" for finding in findings]


@contextmanager
def _opened(part: str) -> Iterator[pq.ParquetFile]:
    with storage.open_input(part) as source, pq.ParquetFile(source) as file:
        yield file


def _compare(
    before: pq.ParquetFile, after: pq.ParquetFile, tolerance: float, files: tuple[PictureReader, PictureReader]
) -> list[str]:
    """Compare two parts of as many rows, some rows at a time; where pictures may differ, not by their digests."""
    names, others = before.schema_arrow.names, after.schema_arrow.names
    if names != others:
        return [f"made again it has the columns {others}, not {names}"]
    worst = dict.fromkeys(names, 0.0)
    beside = bool(tolerance) and "file" in names
    rows = rows_at_a_time(before)
    for old, new in zip(before.iter_batches(rows), after.iter_batches(rows), strict=True):
        for name in names:
            if beside and name == "sha256":
                pairs = (
                    map(reader.read, b.column("file").to_pylist()) for reader, b in zip(files, (old, new), strict=True)
                )
                worst[name] = max(worst[name], 0.0, *map(_apart, *pairs))
            else:
                worst[name] = max(worst[name], _difference(old.column(name), new.column(name)))
    pictures = {"image", "sha256"} if tolerance else set()
    allowed = {name: PIXELS if name in pictures else tolerance for name in names}
    return [
        f"column {name} differs when made again{f', by up to {by:.3g}' if by < math.inf else ''} "
        f"(allowed {allowed[name]:g})"
        for name, by in worst.items()
        if by > allowed[name]
    ]


def _difference(old: pa.Array, new: pa.Array) -> float:
    """Give the largest difference; infinity where values that are no numbers, or their shapes, are not the same."""
    if pa.types.is_struct(old.type) and not old.equals(new):
        return max(map(_apart, old.field("bytes").to_pylist(), new.field("bytes").to_pylist()))
    before, after = _floats(old), _floats(new)
    if before is None or after is None or before.shape != after.shape:
        return 0.0 if old.equals(new) else math.inf
    worst = _worst(before, after)
    return math.inf if math.isnan(worst) else worst


def _apart(old: bytes, new: bytes) -> float:
    """Give the mean difference of two pictures, pixels in [0, 1]."""
    before, after = decode(old).astype(np.float64), decode(new).astype(np.float64)
    return float(np.abs(before - after).mean() / 255.0) if before.shape == after.shape else math.inf


def _floats(column: pa.Array) -> np.ndarray | None:
    while pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    if not pa.types.is_floating(column.type):
        return None
    return np.asarray(column.drop_null().to_numpy(zero_copy_only=False), dtype=np.float64)


def _worst(old: np.ndarray, new: np.ndarray) -> float:
    if not len(old):
        return 0.0
    return float(np.max(np.abs(old - new) / np.maximum(1.0, np.abs(old))))
