"""Making a unit again beside its part, and comparing: the check that needs the source and the model."""

from __future__ import annotations

import json
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch import storage
from vae_batch.errors import OutputError
from vae_batch.latents.footer import read_footer
from vae_batch.latents.layout import Layout
from vae_batch.types import Unit
from vae_batch.work.encode import UnitEncoder

TOLERANCE = {"fp32": 1e-5, "bf16": 5e-2, "fp16": 5e-3}
"""Allowed |difference| over max(1, |value|) where batch shape, device or libraries differ."""


def recompute(encoder: UnitEncoder, unit: Unit, most: int | None = None) -> list[str]:
    """Encode a unit again into a temporary folder and compare it with the published part.

    As many images at once as the part's footer says. With equal numerics the values must be equal to the bit;
    otherwise within `TOLERANCE`.

    Args:
        encoder: of the part's job.
        unit: the part's.
        most: images at once, at most.

    Returns:
        Findings, empty if all is well.
    """
    published = Layout(encoder.job.out)
    name = published.part_name(unit.number)
    with tempfile.TemporaryDirectory() as folder:
        again = Layout(folder)
        again.make()
        try:
            old = read_footer(published.part(unit.number))
            batch_size = int(json.loads(old.numerics)["batch_size"])
            encoder.encode(unit, again, min(batch_size, most or batch_size))
            new = read_footer(again.part(unit.number))
        except OutputError as error:
            return [str(error)]
        counts = [(f.rows, f.rejects, f.skipped, f.excluded) for f in (old, new)]
        if counts[0] != counts[1]:
            return [
                f"{name}: encoding again gives {new.rows} rows, {new.rejects} rejects, {new.skipped} skipped, "
                f"{new.excluded} excluded, not {', '.join(map(str, counts[0]))}"
            ]
        tolerance = 0.0 if old.numerics == new.numerics else TOLERANCE[encoder.job.precision]
        before, after = (_table(x.part(unit.number)) for x in (published, again))
        return [f"{name}: {finding}" for finding in _compare(before, after, tolerance)]


def _table(part: str) -> pa.Table:
    with storage.open_input(part) as file:
        return pq.read_table(file)


def _compare(before: pa.Table, after: pa.Table, tolerance: float) -> list[str]:
    if before.schema.names != after.schema.names:
        return [f"encoding again gives the columns {after.schema.names}, not {before.schema.names}"]
    findings = []
    for name in before.schema.names:
        old, new = (_floats(t.column(name).combine_chunks()) for t in (before, after))
        if old is None or new is None:
            if not before.column(name).equals(after.column(name)):
                findings.append(f"column {name} differs when encoded again")
        elif old.shape != new.shape or not _worst(old, new) <= tolerance:
            worst = "in shape" if old.shape != new.shape else f"by up to {_worst(old, new):.3g}"
            findings.append(f"column {name} differs when encoded again, {worst} (allowed {tolerance:g})")
    return findings


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
