"""The processes in which a suspect's images are decoded, one after the other: they may die, and publish nothing.

    python -m vae_batch.work.cell

A process that has everything imported takes pickled orders on stdin, and forks for each of them: a fresh process at
the cost of some milliseconds. Lines on stdout, before and behind each image, tell what a fork died of:

    begin {"id": ..., "shard": ..., "row": ..., "sha256": ...}
    end
    memory              the image in hand wants more memory than `MEMORY_BYTES`
    failed OSError: ... the source could not be read
    done
    over -6             the fork has ended, by signal 6; by SIGALRM where an image hung
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vae_batch.images import Transform
from vae_batch.latents.quarantine import Poison
from vae_batch.sources import Reading
from vae_batch.types import ImageRecord, Unit
from vae_batch.work.clock import Clock
from vae_batch.work.feed import Batch, Feed

MEMORY_BYTES = 8 << 30
"""More than any image takes that is small enough to be decoded (`images.decode.MAX_PIXELS`)."""


class Job(Protocol):
    """What it takes to decode the units of a job."""

    @property
    def out(self) -> str:
        """The folder in which quarantine keeps what it finds."""

    @property
    def reading(self) -> Reading:
        """How the source is read."""

    @property
    def transform(self) -> Transform:
        """How the images are cut."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to decode: those of a unit's images whose numbers, counted as they are read, are in `images`."""

    job: Job
    unit: Unit
    images: range
    poison: tuple[Poison, ...]
    """Known already: not decoded."""
    hang_seconds: float


class _OneByOne(Feed):
    """A feed without a model behind it, whose images share one slot and are told of before and behind."""

    def __init__(self, order: Order) -> None:
        job = order.job
        super().__init__(job.reading, order.unit, job.transform, 1, None, 1, Clock(), False, order.poison)
        self._order = order

    def run(self, tell: Callable[[str], object]) -> None:
        size, wanted = self._transform.size, self._order.images
        batch = Batch(np.zeros((1, size, size, 3), np.uint8))
        records = (r for r in self._reading.read(self._unit, self.tally) if isinstance(r, ImageRecord))
        for number, record in enumerate(records):
            if number >= wanted.stop:
                return
            if number in wanted:
                tell(f"begin {json.dumps(_describe(record))}\n")
                if self._starves(batch, record):
                    tell("memory\n")
                    os._exit(1)
                tell("end\n")

    def _starves(self, batch: Batch, record: ImageRecord) -> bool:
        """Decode one image, if it can be done; say whether memory was the reason that it could not."""
        signal.setitimer(signal.ITIMER_REAL, self._order.hang_seconds)  # the kernel keeps this clock, whoever hangs
        self._decode_one(batch, 0, record)
        signal.setitimer(signal.ITIMER_REAL, 0)
        starved = any(reject.error == "MemoryError" for reject in batch.rejects)
        batch.rejects.clear()
        return starved


def main() -> None:
    """Obey the orders on stdin until it ends."""
    import torch  # not in each fork, and not in the first image's time

    torch.set_num_threads(1)
    reports = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a decoder that prints must not be heard as one of us
    while order := _next_order():
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            reports.write(f"over {os.waitstatus_to_exitcode(status)}\n")
        else:
            _obey(order, reports.write)


def _next_order() -> Order | None:
    try:
        order: Order = pickle.load(sys.stdin.buffer)
    except EOFError:
        return None
    return order


def _obey(order: Order, tell: Callable[[str], object]) -> None:
    try:
        _limit()
        _OneByOne(order).run(tell)
        tell("done\n")
    except Exception as error:
        tell(f"failed {type(error).__name__}: {' '.join(str(error).split())}\n")
    finally:
        os._exit(1)  # whatever came: a fork does not return


def _describe(record: ImageRecord) -> dict[str, str | int]:
    digest = hashlib.sha256(record.data).hexdigest()
    return {"id": record.id, "shard": record.shard, "row": record.row, "sha256": digest}


def _limit() -> None:
    """Bound the memory, leave no core files, and be the first to go when the machine's memory is used up."""
    for what, value in ((resource.RLIMIT_DATA, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main()
