"""For tests: an encoded data set on disk, of posteriors and labels that the test gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vae_batch.latents.layout import Layout
from vae_batch.latents.posteriors import PosteriorPart, Posteriors

PART = 9


def stored(
    folder: Path,
    mean_ND: npt.NDArray[Any],
    variance_ND: npt.NDArray[Any] | None,
    ids: Sequence[str],
    labels: Mapping[str, Sequence[Any]] | None = None,
) -> Posteriors:
    """Write parts of 9 rows in row groups of 4; means in their own type, no variance for a deterministic model."""
    layout, parts = Layout.of(folder), []
    layout.make()
    kind, dims = pa.from_numpy_dtype(mean_ND.dtype), mean_ND.shape[1]
    for unit, first in enumerate(range(0, len(ids), PART)):
        rows = slice(first, first + PART)
        mean = mean_ND[rows]
        variance: Any = [None] * len(mean) if variance_ND is None else list(variance_ND[rows].astype(np.float32))
        columns = {
            "id": ids[rows],
            "mean": pa.array(list(mean), pa.list_(kind, dims)),
            "variance": pa.array(variance, pa.list_(pa.float32(), dims)),
            **{name: pa.array(values).slice(first, PART) for name, values in (labels or {}).items()},
        }
        pq.write_table(pa.table(columns), layout.part(unit), row_group_size=4)
        parts.append(PosteriorPart(unit, layout.part(unit), len(mean)))
    return Posteriors(layout.out, "m", dims, "d", tuple(parts), len(parts), tuple(part.rows for part in parts))
