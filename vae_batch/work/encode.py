"""One unit in, one part out: the whole way from bytes to Parquet, in one process. No Ray in here."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from vae_batch.errors import UnitError
from vae_batch.latents.layout import Layout
from vae_batch.latents.moments import Moments
from vae_batch.latents.part import PartWriter, write_rejects
from vae_batch.latents.quarantine import read_poison
from vae_batch.types import Receipt, Reject, Unit
from vae_batch.work.clock import Clock
from vae_batch.work.feed import Batch, Feed, reject
from vae_batch.work.forward import Forward, Latents
from vae_batch.work.job import EncodeJob
from vae_batch.work.maker import UnitMaker
from vae_batch.work.prefetch import prefetch
from vae_batch.work.rows import RowMaker

AHEAD = 2
"""Batches that the model may be ahead of the writing."""


class UnitEncoder(UnitMaker):
    """Makes any unit of an encode job.

    Args:
        job: the job.
        device: "cpu" or "cuda".
        threads: decoding threads.
    """

    job: EncodeJob

    def __init__(self, job: EncodeJob, device: str, threads: int) -> None:
        self.forward = Forward(job, device)
        super().__init__(job, self.forward)
        self.threads = threads
        self.alone = device == "cpu" and threads == 1
        """Whether decoding, model and writing share one core: to overlap them there is to wait for each other."""
        self._pool = None if self.alone else ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def _write(self, unit: Unit, layout: Layout, unfinished: Path) -> Receipt:
        attempt, schema = _Attempt(self, unit), self.job.schema
        moments = Moments(schema.latent_shape, schema.scaling)
        with PartWriter(unfinished, attempt.maker.schema, schema.row_group_rows, moments) as part:
            for batch in attempt.batches():
                with attempt.clock("write"):
                    part.write(batch)
            with attempt.clock("write"):
                attempt.check_counts(part.rows)
                footer = attempt.footer()
                footer["rejects_file"] = write_rejects(layout, unit.number, attempt.all_rejects())
                part.finish(footer)
        return attempt.receipt(part.rows, unfinished.stat().st_size)

    def probe(self, unit: Unit, images: int, batch_size: int | None = None) -> tuple[int, float]:
        """Time the way from bytes to rows for the first images of a unit; nothing is written.

        Returns:
            Images done, and seconds; the first batch, which warms up, does not count if there are others.
        """
        self.forward.batch_size = batch_size or self.forward.at_most(None)
        batches = _Attempt(self, unit).batches(flush=True)
        start, done, warm = time.perf_counter(), 0, (0, 0.0)
        for _ in batches:
            done = self.progress[1]
            warm = warm if warm[0] else (done, time.perf_counter() - start)
            if done >= images:
                break
        seconds = time.perf_counter() - start
        batches.close()
        return (done - warm[0], seconds - warm[1]) if done > warm[0] else (done, seconds)


class _Attempt:
    """One attempt at one unit: its feed, its rows, and all that is counted on the way."""

    def __init__(self, encoder: UnitEncoder, unit: Unit) -> None:
        self.job, self.unit, self.clock = encoder.job, unit, Clock()
        self.maker = RowMaker(encoder.job, unit)
        self.rejects: list[Reject] = []
        self.fp32_rows: list[int] = []
        self._encoder, self._rows = encoder, 0
        self.feed = Feed(
            encoder.job.reading,
            unit,
            encoder.job.transform,
            encoder.forward.batch_size,
            encoder._pool,
            encoder.threads,
            self.clock,
            encoder.job.schema.sha256,
            read_poison(Layout(encoder.job.out), unit.number),
            encoder.watch,
        )

    def batches(self, flush: bool = False) -> Generator[pa.RecordBatch, None, None]:
        """Iterate over the unit's rows: as many at a time as pay, or (`flush`) what there is after every batch."""
        images, encoded = 0, self._encoded()
        self._encoder.progress = (self.unit.number, 0, 0)
        for batch, latents, repaired in encoded if self._encoder.alone else prefetch(encoded, AHEAD):
            slots = self._good_slots(batch, latents, repaired)
            images += len(batch.records)
            self._encoder.progress = (self.unit.number, images, len(self.rejects))
            yield from self._rows_of(batch, latents, slots)
            if flush and len(self.maker):
                yield self._made()
        if len(self.maker):
            yield self._made()

    def _encoded(self) -> Generator[tuple[Batch, Latents, set[int]], None, None]:
        """Give batches, whose pixels are gone by the next, with their latents."""
        forward = self._encoder.forward
        tick = time.thread_time if forward.device == "cpu" else time.perf_counter
        for batch in self.feed:
            used = np.zeros(len(batch.pixels), bool)
            used[batch.slots()] = True
            with self.clock("device", tick):
                latents, repaired = forward(batch.pixels, used)
            yield batch, latents, repaired

    def _rows_of(self, batch: Batch, latents: Latents, slots: list[int]) -> Iterator[pa.RecordBatch]:
        """Gather rows, and give them when there are enough, no more at a time: rows of large latents are megabytes."""
        while slots:
            some, slots = slots[: self.maker.room], slots[self.maker.room :]
            records, sizes = [batch.records[s] for s in some], [batch.sizes[s] for s in some]
            with self.clock("write"):
                self.maker.add(records, sizes, [batch.sha256.get(s) for s in some], latents.at(some))
            if self.maker.full:
                yield self._made()

    def _made(self) -> pa.RecordBatch:
        with self.clock("write"):
            return self.maker.rows()

    def _good_slots(self, batch: Batch, latents: Latents, repaired: set[int]) -> list[int]:
        """Reject what the model gave no numbers for; give the slots that become rows."""
        self._reject_values(batch, latents.finite(), "NonFinite", "values that are not finite, in fp32 too")
        if self.job.schema.store == "float16":
            self._reject_values(
                batch, latents.fits_float16(), "Float16Overflow", "values too large for --store float16"
            )
        self.rejects += batch.rejects
        slots = batch.slots()
        self.fp32_rows += [self._rows + i for i, slot in enumerate(slots) if slot in repaired]
        self._rows += len(slots)
        return slots

    def _reject_values(self, batch: Batch, good: np.ndarray, error: str, what: str) -> None:
        for slot in batch.slots():
            if not good[slot]:
                del batch.sizes[slot]
                record, digest = batch.records[slot], batch.sha256.get(slot)
                self.rejects.append(reject(record, "encode", error, f"the model gives {what}", digest))

    def all_rejects(self) -> Sequence[Reject]:
        """Those of reader, decoder and model, by place in the unit, so that equal content has equal bytes."""
        order = {p.shard: i for i, p in enumerate(self.unit.pieces)}
        return sorted(self.feed.rejects + self.rejects, key=lambda r: (order.get(r.shard, len(order)), r.row, r.id))

    def check_counts(self, rows: int) -> None:
        """Refuse to publish what does not add up."""
        tally, rejects = self.feed.tally, len(self.all_rejects())
        if rows + rejects + tally.skipped + tally.excluded == tally.seen and self.unit.seen in (None, tally.seen):
            return
        planned = "" if self.unit.seen is None else f", {self.unit.seen} planned"
        raise UnitError(
            f"unit {self.unit.number}: {rows} rows + {rejects} rejects + {tally.skipped} skipped + {tally.excluded} "
            f"excluded, but {tally.seen} seen{planned}; it was not published. If the source changed since OUT was "
            f"begun, give another --out. Shards: {', '.join(dict.fromkeys(p.shard for p in self.unit.pieces))}"
        )

    def footer(self) -> dict[str, str]:
        """Say what the part will say of itself, but for its rows."""
        tally, notes = self.feed.tally, self.maker.notes
        kinds = {
            "nulls": notes.nulls,
            "unforeseen": notes.unforeseen,
            "sidecars": tally.sidecars,
            "unmatched": tally.unmatched,
            "excluded": tally.reasons,
        }
        return {
            "unit": str(self.unit.number),
            "fingerprint": self.job.fingerprint,
            "numerics": self._encoder.forward.numerics,
            "seen": str(tally.seen),
            "rejects": str(len(self.all_rejects())),
            "skipped": str(tally.skipped),
            "excluded": str(tally.excluded),
            "notes": json.dumps({kind: dict(counts) for kind, counts in kinds.items()}),
            "fp32_rows": json.dumps(self.fp32_rows),
        }

    def receipt(self, rows: int, size: int) -> Receipt:
        """Say it to the driver, with the times."""
        tally, rejects = self.feed.tally, self.all_rejects()
        seconds = dict(self.clock.seconds)
        seconds["decode"] = seconds.get("decode", 0.0) / self._encoder.threads
        return Receipt(
            unit=self.unit.number,
            rows=rows,
            rejects=len(rejects),
            skipped=tally.skipped,
            excluded=tally.excluded,
            seen=tally.seen,
            bytes_in=tally.bytes,
            bytes_out=size,
            seconds=seconds,
            examples=list(rejects[:3]),
        )
