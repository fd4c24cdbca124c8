"""The posteriors of an encoded data set, or of a choice of its rows: streamed, or single ones by their position."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from vae_batch import storage
from vae_batch.errors import OutputError, SpecError
from vae_batch.latents.collection import some
from vae_batch.latents.footer import read_footers
from vae_batch.latents.job import encoded_job
from vae_batch.latents.layout import Layout
from vae_batch.latents.read import open_parts
from vae_batch.latents.take import I64, numbers, read_through, take
from vae_batch.latents.where import choose

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PosteriorPart:
    """One part: how many rows it has, and which of them count."""

    unit: int
    location: str
    rows: int
    chosen: bytes | None = None
    """A bit for each row (`numpy.packbits`); None: all."""

    def mask(self) -> npt.NDArray[np.bool_]:
        """Give (rows,): which count."""
        if self.chosen is None:
            return np.ones(self.rows, bool)
        return np.unpackbits(np.frombuffer(self.chosen, np.uint8), count=self.rows).astype(bool)


@dataclass(frozen=True, slots=True)
class Posteriors:
    """Plain data that travels: a few words for each part, and a bit for each row where rows were chosen."""

    out: str
    model: str
    """Digest of the model that encoded them."""
    dims: int
    digest: str
    """Of the job that encoded them, and of the rows of each part."""
    parts: tuple[PosteriorPart, ...]
    planned: int
    """Parts that there will be once all is encoded."""
    counts: tuple[int, ...]
    """Rows of each part that count."""

    @property
    def total(self) -> int:
        """Rows that count."""
        return sum(self.counts)

    def where(self, expression: str) -> Posteriors:
        """Choose among the rows that count by an SQL expression over the columns.

        Raises:
            SpecError: it is wrong, or chooses nothing; the message names the columns.
        """
        chosen = self._chosen(expression, expression, "--where")
        if not chosen.total:
            raise SpecError(
                f"--where {expression!r} chooses none of the {self.total:,} rows of {self.out}; the columns are "
                f"{', '.join(self.dataset().schema.names)}"
            )
        return chosen

    def split(self, expression: str, asked: str, option: str) -> tuple[Posteriors, Posteriors]:
        """Choose the rows for which an SQL expression is true, and those for which it is false; null is neither.

        Args:
            expression: a condition on each row.
            asked: what the user gave, for messages.
            option: where.

        Raises:
            SpecError: it is wrong, or one of the two is empty.
        """
        both = self._chosen(expression, asked, option), self._chosen(f"not (\n{expression}\n)", asked, option)
        for chosen, answer in zip(both, ("true", "false"), strict=True):
            if not chosen.total:
                raise SpecError(f"{option} {asked!r} is {answer} for none of the {self.total:,} rows of {self.out}")
        return both

    def _chosen(self, expression: str, asked: str, option: str) -> Posteriors:
        found = choose(self.dataset(), expression, [part.rows for part in self.parts], f"{option} {asked!r}")
        masks = [mask & part.mask() for mask, part in zip(found, self.parts, strict=True)]
        parts = [replace(p, chosen=np.packbits(m).tobytes()) for p, m in zip(self.parts, masks, strict=True)]
        return replace(self, parts=tuple(parts), counts=tuple(int(mask.sum()) for mask in masks))

    def dataset(self) -> ds.Dataset:
        """Open all rows, with every column."""
        return open_parts(Layout(self.out), [part.unit for part in self.parts])

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Iterate over the rows that count: some columns, at most 1,024 rows and about 32 MB at a time."""
        for part, count in zip(self.parts, self.counts, strict=True):
            if not count:
                continue
            mask, at = part.mask(), 0
            for batch in read_through(part.location, part.rows, columns):
                here = mask[at : at + len(batch)]
                at += len(batch)
                if here.any():
                    yield batch.filter(pa.array(here))

    def batches(self) -> Iterator[tuple[F64, F64]]:
        """Iterate over the rows that count: (N, D) means and variances, as `read` does.

        A deterministic autoencoder's variances are zero.
        """
        return map(moments, self.read(["mean", "variance"]))

    def means(self, positions: I64) -> tuple[F64, list[str]]:
        """Give means (N, D) and ids of rows by their position among those that count, in any order, repeated or not."""
        rows, back = np.unique(positions, return_inverse=True)
        table = self.take(rows)
        ids = table["id"].to_pylist()
        return numbers(table["mean"], np.float64)[back], [ids[i] for i in back]

    def positions(self, ids: Sequence[str], option: str) -> I64:
        """Find rows that count by their ids, in one pass. Raises SpecError, which names ids that are not there."""
        wanted = pa.array(ids, pa.string())
        distinct, before = wanted.unique(), 0
        place = np.full(len(distinct), -1)
        for batch in self.read(["id"]):
            at = pc.index_in(batch.column(0), value_set=distinct)
            here = np.flatnonzero(at.is_valid())
            place[at.drop_null().to_numpy()] = before + here
            before += len(batch)
        missing = distinct.filter(pa.array(place < 0))
        if len(missing):
            raise SpecError(f"{option}: {self.out} has no row with the id, among those that count: {some(missing)}")
        return np.asarray(place[pc.index_in(wanted, value_set=distinct).to_numpy()])

    def take(self, positions: I64) -> pa.Table:
        """Read `id`, `mean` and `variance` of rows by their position among those that count, ascending."""
        rows = positions if all(part.chosen is None for part in self.parts) else self._rows(positions)
        files = [(part.location, part.rows) for part in self.parts]
        return pa.concat_tables(take(files, rows, ["id", "mean", "variance"]))

    def _rows(self, positions: I64) -> I64:
        """From positions among the rows that count to rows of all."""
        ends, before = np.cumsum(self.counts), np.cumsum([0, *(part.rows for part in self.parts)])
        home = np.searchsorted(ends, positions, side="right")
        rows = np.empty(len(positions), np.int64)
        for number in np.unique(home).tolist():
            within = positions[home == number] - (ends[number] - self.counts[number])
            rows[home == number] = np.flatnonzero(self.parts[number].mask())[within] + before[number]
        return rows


def moments(batch: pa.RecordBatch) -> tuple[F64, F64]:
    """Give (N, D) means and variances, of 0 for a deterministic autoencoder."""
    mean = numbers(batch.column("mean"), np.float64)
    if batch.column("variance").null_count:
        return mean, np.zeros_like(mean)
    return mean, numbers(batch.column("variance"), np.float64)


def open_posteriors(out: str) -> Posteriors:
    """Open an encoded data set, finished or not; reads footers only.

    Raises:
        OutputError: it is none, has no row yet, or a part is damaged.
        SpecError: its latents were scaled.
    """
    layout = Layout.of(out)
    job = encoded_job(layout)
    if job.fields.get("scaled"):
        raise SpecError(
            f"{layout.out} was encoded with --scaled: its latents are those that a diffusion model takes, not those "
            "that the decoder does. Encode without --scaled"
        )
    units = sorted(layout.parts()[0])
    parts, known = [], []
    for unit, footer in zip(units, read_footers(layout.part(u) for u in units), strict=True):
        if isinstance(footer, OutputError):
            raise footer
        parts.append(PosteriorPart(unit, layout.part(unit), footer.rows))
        known.append([unit, footer.rows, footer.ids_sha256, footer.values_sha256])
    if not sum(part.rows for part in parts):
        raise OutputError(f"{layout.out} has no row yet; see `vae-batch status {out}`")
    return Posteriors(
        out=layout.out,
        model=job.model["digest"],
        dims=math.prod(job.model["latent_shape"]),
        digest=storage.json_sha256([job.fingerprint, known]),
        parts=tuple(parts),
        planned=job.plan.units,
        counts=tuple(part.rows for part in parts),
    )
