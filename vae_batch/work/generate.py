"""One unit of numbers in, one part of pictures out: sampler, decoder, codec, Parquet. No Ray in here."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_batch.images.codecs import encode_image
from vae_batch.latents.arrays import to_array
from vae_batch.latents.generated import image_id
from vae_batch.latents.layout import Layout
from vae_batch.latents.moments import Moments
from vae_batch.latents.part import PartWriter, write_rejects
from vae_batch.samplers import Drawn
from vae_batch.types import Receipt, Reject, Unit
from vae_batch.work.clock import Clock
from vae_batch.work.maker import UnitMaker
from vae_batch.work.outlets import Outlet, outlet
from vae_batch.work.prefetch import prefetch
from vae_batch.work.render import Pictures, Renderer

if TYPE_CHECKING:
    from vae_batch.work.generate_job import GenerateJob

AHEAD = 2
"""Batches that the decoder may be ahead of the codec."""


@dataclass(slots=True)
class Block:
    """Consecutive images, as many as the decoder takes at once; some or all of them are wanted."""

    wanted: npt.NDArray[np.int64]
    """Their numbers."""
    slots: npt.NDArray[np.int64]
    """Where they are in the block."""
    drawn: Drawn
    pictures: Pictures


class UnitGenerator(UnitMaker):
    """Makes any unit of a generate job.

    Images are decoded in blocks that begin at multiples of the batch size, whole ones whatever is wanted of them. So
    an image has the same bits however many there are, in whatever unit, and when it is made alone.

    Args:
        job: the job.
        device: "cpu" or "cuda".
        threads: that write pictures.
    """

    job: GenerateJob

    def __init__(self, job: GenerateJob, device: str, threads: int) -> None:
        self.renderer = Renderer(job, device)
        super().__init__(job, self.renderer)
        self.threads = threads
        self.alone = device == "cpu" and threads == 1
        """Whether decoder and codec share one core: to overlap them there is to wait for each other."""
        self._pool = None if self.alone else ThreadPoolExecutor(threads, thread_name_prefix="codec")

    def _write(self, unit: Unit, layout: Layout, unfinished: Path) -> Receipt:
        schema = self.job.schema
        moments = Moments(schema.latent_shape, columns=("latent", None))
        with (
            outlet(schema.pictures, layout, unit.number) as pictures,
            PartWriter(unfinished, schema.arrow(), schema.row_group_rows, moments) as part,
        ):
            attempt = _Attempt(self, unit, pictures)
            for batch in attempt.batches():
                with attempt.clock("write"):
                    part.write(batch)
            with attempt.clock("write"):
                footer = attempt.footer()
                footer["files"] = json.dumps(pictures.finish())
                footer["rejects_file"] = write_rejects(layout, unit.number, attempt.rejects)
                part.finish(footer)
        return attempt.receipt(part.rows, unfinished.stat().st_size)


def _plain(value: Any) -> Any:
    """Make a number of Python's of one of numpy's."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


class _Attempt:
    """One attempt at one unit, and all that is counted on the way."""

    def __init__(self, generator: UnitGenerator, unit: Unit, outlet: Outlet) -> None:
        self.outlet = outlet
        self.job, self.unit, self.clock = generator.job, unit, Clock()
        self.schema = self.job.schema.arrow()
        self.rejects: list[Reject] = []
        self.fp32_rows: list[int] = []
        self._generator, self._rows = generator, 0
        self._wanted = np.concatenate([np.arange(p.start, p.end, dtype=np.int64) for p in unit.pieces])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Iterate over the unit's rows."""
        made, blocks = 0, self._blocks()
        self._generator.progress = (self.unit.number, 0, 0)
        for block in blocks if self._generator.alone else prefetch(blocks, AHEAD):
            rows = self._rows_of(block)
            made += len(block.wanted)
            self._generator.progress = (self.unit.number, made, len(self.rejects))
            if len(rows):
                yield rows

    def _blocks(self) -> Generator[Block, None, None]:
        renderer = self._generator.renderer
        size = renderer.batch_size
        tick = time.thread_time if renderer.device == "cpu" else time.perf_counter
        for number, some in groupby(self._wanted.tolist(), lambda index: index // size):
            wanted = np.fromiter(some, np.int64)
            with self.clock("sample"):
                drawn = self.job.sampler.draw(number * size, size)
            with self.clock("device", tick):
                pictures = renderer(drawn.latents)
            yield Block(wanted, wanted - number * size, drawn, pictures)

    def _rows_of(self, block: Block) -> pa.RecordBatch:
        """Make rows of the wanted images, and rejects of those that are not finite."""
        good = block.pictures.finite[block.slots]
        for index in block.wanted[~good].tolist():
            message = "the decoder gives values that are not finite, in fp32 too"
            self.rejects.append(Reject(image_id(index), "", index, "generate", "NonFinite", message))
        slots, wanted = block.slots[good], block.wanted[good]
        self.fp32_rows += (self._rows + np.flatnonzero(block.pictures.repaired[slots])).tolist()
        self._rows += len(slots)
        with self.clock("codec"):
            files = self._files(block.pictures.pixels[slots])
        with self.clock("write"):
            return self._record_batch(wanted.tolist(), slots, files, block.drawn)

    def _files(self, pixels: npt.NDArray[np.uint8]) -> list[bytes]:
        codec, quality, pool = self.job.codec, self.job.quality, self._generator._pool

        def write(picture: npt.NDArray[np.uint8]) -> bytes:
            return encode_image(picture, codec, quality)

        return list(pool.map(write, pixels)) if pool else [write(picture) for picture in pixels]

    def _record_batch(
        self, wanted: list[int], slots: npt.NDArray[np.int64], files: list[bytes], drawn: Drawn
    ) -> pa.RecordBatch:
        ids = [image_id(index) for index in wanted]
        origin = {name: [_plain(values[slot]) for slot in slots] for name, values in drawn.origin.items()}
        if self.job.predictor is not None:
            origin |= {name: values.tolist() for name, values in self.job.predictor(drawn.latents[slots]).items()}
        known = {"index": wanted, "seed": [self.job.seed] * len(ids), **origin}
        facts = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
        columns: dict[str, Any] = {
            "id": ids,
            "latent": drawn.latents[slots],
            **known,
            **self.outlet.write([f"{i}.{self.job.codec}" for i in ids], files, facts),
        }
        arrays = [to_array(columns[field.name], field.type, len(ids)) for field in self.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def footer(self) -> dict[str, str]:
        """Say what the part will say of itself, but for its rows."""
        return {
            "unit": str(self.unit.number),
            "fingerprint": self.job.fingerprint,
            "numerics": self._generator.renderer.numerics,
            "seen": str(len(self._wanted)),
            "rejects": str(len(self.rejects)),
            "skipped": "0",
            "excluded": "0",
            "notes": "{}",
            "fp32_rows": json.dumps(self.fp32_rows),
        }

    def receipt(self, rows: int, size: int) -> Receipt:
        """Say it to the driver, with the times."""
        seconds = dict(self.clock.seconds)
        return Receipt(
            unit=self.unit.number,
            rows=rows,
            rejects=len(self.rejects),
            skipped=0,
            excluded=0,
            seen=len(self._wanted),
            bytes_in=0,
            bytes_out=size,
            seconds=seconds,
            examples=self.rejects[:3],
        )
