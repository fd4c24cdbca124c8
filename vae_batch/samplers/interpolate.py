"""Interpolations: steps on the way from one encoded image to another."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_batch import storage
from vae_batch.errors import SpecError
from vae_batch.latents.posteriors import Posteriors
from vae_batch.latents.take import I64
from vae_batch.noise import uniform
from vae_batch.samplers.base import F32, Drawn
from vae_batch.samplers.ways import lerp, slerp

PAIR_COLUMNS = "source_id", "target_id"


@dataclass(frozen=True, slots=True)
class Interpolate:
    """Image i is step i mod S of pair i div S: t = step/(S - 1) on the way between two posterior means."""

    sources: Posteriors
    targets: Posteriors
    """The same, or others none of which is among the sources."""
    apart: bool
    """Whether they are others."""
    seed: int
    steps: int
    """S, with both ends."""
    arc: bool
    """slerp, not lerp."""
    pairs: npt.NDArray[np.int64] | None = None
    """(P, 2), positions of source and target; None: pair k is a function of (seed, k), never an image with itself."""

    @property
    def total(self) -> int | None:
        """S for each pair that was given."""
        return None if self.pairs is None else len(self.pairs) * self.steps

    def columns(self) -> list[pa.Field]:
        """Say between which images, and where: t from 0 to 1."""
        return [*(pa.field(name, pa.string()) for name in PAIR_COLUMNS), pa.field("t", pa.float64())]

    def draw(self, first: int, count: int) -> Drawn:
        """Give (count, D) latents."""
        last = first + count if self.total is None else min(first + count, self.total)
        index = np.arange(first, max(first, last))
        latents: F32 = np.zeros((count, self.sources.dims), np.float32)
        ids = {name: [""] * count for name in PAIR_COLUMNS}
        t = (np.arange(first, first + count) % self.steps) / (self.steps - 1)
        if len(index):
            pairs, mine = np.unique(index // self.steps, return_inverse=True)
            places = self._places(pairs)
            a, source = self.sources.means(places[:, 0])
            b, target = self.targets.means(places[:, 1])
            latents[: len(index)] = (slerp if self.arc else lerp)(a[mine], b[mine], t[: len(index)])
            for name, found in zip(PAIR_COLUMNS, (source, target), strict=True):
                ids[name][: len(index)] = [found[pair] for pair in mine]
        return Drawn(latents, {**ids, "t": t.tolist()})

    def _places(self, pairs: I64) -> I64:
        """Positions (P, 2) of source and target of pairs by their numbers."""
        if self.pairs is not None:
            return self.pairs[pairs]
        drawn = uniform(self.seed, [f"interpolate/{pair}/{end}" for pair in pairs for end in ("source", "target")])
        others = self.targets.total - (0 if self.apart else 1)
        source, target = (drawn.reshape(-1, 2) * [self.sources.total, others]).astype(np.int64).T
        return np.stack([source, target if self.apart else target + (target >= source)], axis=1)


def read_pairs(location: str, posteriors: Posteriors) -> tuple[I64, str]:
    """Read pairs of ids, in UTF-8 CSV with columns source_id and target_id; others are passed over.

    Returns:
        Positions (P, 2), and the sha256 of the file.

    Raises:
        SpecError: there is no such file, it has no such columns or no row, or names images that are not there.
    """
    try:
        data = storage.read_bytes(location)
        table = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        if not set(PAIR_COLUMNS) <= set(table.fieldnames or ()):
            columns = ", ".join(table.fieldnames or ())
            raise SpecError(f"--pairs {location}: the first line must name source_id and target_id; it has {columns}")
        rows = [[row[name] for name in PAIR_COLUMNS] for row in table]
    except (FileNotFoundError, IsADirectoryError):
        raise SpecError(f"--pairs {location}: there is no such file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"--pairs {location} cannot be read as CSV: {error}") from None
    if not rows:
        raise SpecError(f"--pairs {location} has no pair")
    cut = next((number for number, row in enumerate(rows, 1) if None in row), None)
    if cut:
        raise SpecError(f"--pairs {location}: pair {cut} has no target_id")
    ids = [name for row in rows for name in row]
    return posteriors.positions(ids, f"--pairs {location}").reshape(-1, 2), storage.bytes_sha256(data)
