"""What makes a job's units in one process, whatever the job: unfinished file, then the one rename that commits."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from vae_batch import storage
from vae_batch.latents.layout import Layout
from vae_batch.types import Receipt, Unit
from vae_batch.work.clock import Watch
from vae_batch.work.loaded import LoadedModel, ModelJob


class Job(ModelJob, Protocol):
    """What a replica needs to make any unit; plain data that travels."""

    @property
    def fingerprint(self) -> str:
        """Of the job in OUT."""

    def describe(self) -> str:
        """Say in a few words what is made, for the first lines."""

    def maker(self, device: str, threads: int) -> UnitMaker:
        """Load the model on a device, "cpu" or "cuda", and give what makes the units."""


class UnitMaker(ABC):
    """A replica's model and threads; makes any unit of one job.

    Args:
        job: the job.
        loaded: its model.
    """

    job: Job

    def __init__(self, job: Job, loaded: LoadedModel) -> None:
        self.job, self.loaded = job, loaded
        self.progress = (-1, 0, 0)
        """The unit in hand, its images done, its rejects so far: read by another thread."""
        self.watch = Watch()
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="unit")
        pa.array([0])  # the first call of its kind imports pandas where there is one: not in the first unit

    def make(self, unit: Unit, layout: Layout | None = None, batch_size: int | None = None) -> Receipt:
        """Make a unit's part and publish it; called from two threads, one unit is published while the next is made.

        Args:
            unit: the unit.
            layout: where to publish; None: the job's OUT.
            batch_size: images at once; None: as many as the job says.

        Raises:
            DeviceMemoryError: so many images at once are too many.
            UnitError: what came out does not add up. Nothing is published then.
            OSError: a transport error; the attempt may be repeated.
        """
        layout = layout or Layout(self.job.out)
        unfinished = storage.scratch(layout.tmp, f"part-{unit.number:06d}")
        try:
            receipt = self._maker.submit(self._write_unit, unit, layout, unfinished, batch_size).result()
            begun = time.perf_counter()
            storage.publish(unfinished, layout.part(unit.number), layout.tmp)
        finally:
            unfinished.unlink(missing_ok=True)
        receipt.seconds["publish"] = time.perf_counter() - begun
        return receipt

    def _write_unit(self, unit: Unit, layout: Layout, unfinished: Path, batch_size: int | None) -> Receipt:
        self.loaded.batch_size = batch_size or self.loaded.at_most(None)
        return self._write(unit, layout, unfinished)

    @abstractmethod
    def _write(self, unit: Unit, layout: Layout, unfinished: Path) -> Receipt:
        """Write the unit's rows and footer to an unfinished file, and its rejects."""
