"""Decoding a unit into a file, and what passes between those who want that and those who do it."""

from __future__ import annotations

import contextlib
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vae_batch.errors import UnitError
from vae_batch.images import Transform
from vae_batch.latents.layout import Layout
from vae_batch.latents.quarantine import read_poison
from vae_batch.sources import Reading
from vae_batch.types import Reject, Unit
from vae_batch.work.clock import Clock, Watch
from vae_batch.work.feed import Feed

BATCH_IMAGES, BATCH_BYTES = 64, 8 << 20
"""Images that are decoded together: so many, and no more pixels than these."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What it takes to decode any unit of a source; plain data that travels."""

    out: str
    """Folder in whose `.vae_batch` quarantine keeps what it finds."""
    reading: Reading
    transform: Transform


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a unit, beside its pixels."""

    ids: list[str]
    rejects: list[Reject]


@dataclass(frozen=True, slots=True)
class Order:
    """Decode a unit, and put its pixels into a file."""

    decoding: Decoding
    unit: Unit
    pixels: Path
    threads: int
    hang_seconds: float

    def leave(self, found: Decoded | Exception) -> None:
        """Put beside the pixels what they are, or why there are none."""
        self._beside.write_bytes(pickle.dumps(found))

    def found(self) -> Decoded | Exception:
        """Take what was left there."""
        found: Decoded | Exception = pickle.loads(self._beside.read_bytes())
        self._beside.unlink()
        return found

    @property
    def _beside(self) -> Path:
        return self.pixels.with_suffix(".pickle")


@dataclass(frozen=True, slots=True)
class End:
    """The process that obeyed an order has ended."""

    code: int
    """0: it left what it found. Else its exit code; below zero the number of the signal that killed it."""


class Alarm(Watch):
    """Has the kernel end this process by SIGALRM when images are in hand for too long, whatever Python is doing."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds, self._lock = seconds, threading.Lock()

    def begin(self) -> None:
        """Start on the next image."""
        with self._lock:
            super().begin()
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def end(self) -> None:
        """No image is in this thread's hand any more."""
        with self._lock:
            super().end()
            if not self._since:
                signal.setitimer(signal.ITIMER_REAL, 0)


def decode(order: Order, tell: Callable[[int], object]) -> Decoded:
    """Obey an order; `tell` is called with the number of images so far.

    Raises:
        UnitError: images and rejects do not add up to what was seen.
        OSError: the source cannot be read, or nothing can be written.
    """
    decoding, ids, rejects = order.decoding, list[str](), list[Reject]()
    with _feed(order) as feed, order.pixels.open("wb") as file:
        for batch in feed:
            slots = batch.slots()
            whole = len(slots) == len(batch.records)
            file.write((batch.pixels[: len(slots)] if whole else batch.pixels[slots]).data)
            ids += [batch.records[slot].id for slot in slots]
            rejects += batch.rejects
            tell(len(ids))
    rejects = sorted(feed.rejects + rejects, key=lambda reject: (reject.shard, reject.row, reject.id))
    tally = feed.tally
    if len(ids) + len(rejects) + tally.skipped + tally.excluded != tally.seen:
        raise UnitError(
            f"unit {order.unit.number} of {decoding.reading.root}: {len(ids)} images + {len(rejects)} rejects + "
            f"{tally.skipped} skipped + {tally.excluded} excluded, but {tally.seen} seen"
        )
    return Decoded(ids, rejects)


@contextlib.contextmanager
def _feed(order: Order) -> Iterator[Feed]:
    transform, threads = order.decoding.transform, order.threads
    batch = max(1, min(BATCH_IMAGES, BATCH_BYTES // (transform.size**2 * 3)))
    poison = read_poison(Layout(order.decoding.out), order.unit.number)
    with ThreadPoolExecutor(threads) if threads > 1 else contextlib.nullcontext() as pool:
        yield Feed(
            order.decoding.reading,
            order.unit,
            transform,
            batch,
            pool,
            threads,
            Clock(),
            False,
            poison,
            Alarm(order.hang_seconds),
        )
