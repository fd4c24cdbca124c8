"""Read and decode ahead of the model: a unit's images as batches of one shape, in order."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from vae_batch.images import ImageError, Transform, load_image
from vae_batch.latents.quarantine import Poison
from vae_batch.sources import Reading
from vae_batch.types import ImageRecord, Reject, Tally, Unit
from vae_batch.work.clock import Clock, Watch
from vae_batch.work.prefetch import POLL_SECONDS, prefetch

T = TypeVar("T")

CHUNK_IMAGES, CHUNK_BYTES = 16, 8 << 20
"""Images that one decoding task takes; with the number of tasks in flight it bounds the memory in use."""

BUFFERS = 4
"""Batches in memory: one being filled, two waiting, one at the model."""


@dataclass(slots=True)
class Batch:
    """Up to B decoded images; a slot whose image failed stays empty."""

    pixels: np.ndarray
    """uint8 (B, S, S, 3)."""
    records: list[ImageRecord] = field(default_factory=list)
    """By slot, without their bytes once decoded."""
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Width and height before the transform, of the slots that hold an image."""
    sha256: dict[int, str] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)

    def slots(self) -> list[int]:
        """Slots that hold an image, in order."""
        return sorted(self.sizes)


@dataclass(slots=True)
class Chunk:
    """Images of one batch for one decoding task."""

    batch: Batch
    items: list[tuple[int, ImageRecord]] = field(default_factory=list)
    """Slot and image."""
    bytes: int = 0
    last: bool = False
    """Whether it is the last of its batch."""
    decoding: Future[None] | None = None

    def add(self, record: ImageRecord) -> None:
        """Put an image into the batch's next slot."""
        self.items.append((len(self.batch.records), record))
        self.batch.records.append(_without_bytes(record))
        self.bytes += len(record.data)

    def full(self) -> bool:
        """Whether it is as large as one task should be."""
        return len(self.items) >= CHUNK_IMAGES or self.bytes >= CHUNK_BYTES


class Feed:
    """Iterates over a unit's batches; reads in a thread of its own, and decodes on a pool that runs ahead.

    Without a pool the caller's thread decodes: on a single core that shares with the model, to run ahead is to wait
    for the interpreter's lock.
    """

    def __init__(
        self,
        reading: Reading,
        unit: Unit,
        transform: Transform,
        batch_size: int,
        pool: ThreadPoolExecutor | None,
        threads: int,
        clock: Clock,
        sha256: bool,
        poison: Sequence[Poison] = (),
        watch: Watch | None = None,
    ) -> None:
        self.tally = Tally()
        self.rejects: list[Reject] = []
        """What the reader could not read."""
        self._reading, self._unit, self._transform = reading, unit, transform
        self._batch_size, self._pool, self._clock, self._sha256 = batch_size, pool, clock, sha256
        self._poison, self._watch = {(p.shard, p.row): p for p in poison}, watch or Watch()
        self._encoded = threading.Semaphore(2 * threads + 2)
        self._left = threading.Event()
        self._buffers: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Batch]:
        shape = (self._batch_size, self._transform.size, self._transform.size, 3)
        for _ in range(BUFFERS):
            self._buffers.put(np.zeros(shape, np.uint8))
        depth = max(2, BUFFERS * self._batch_size // CHUNK_IMAGES)
        for chunk in self._timed("wait", prefetch(self._chunks(), depth, self._left)):
            with self._clock("wait"):
                if chunk.decoding:
                    chunk.decoding.result()
                else:
                    self._decode(chunk)
            if chunk.last:
                yield chunk.batch
                self._buffers.put(chunk.batch.pixels)

    def _chunks(self) -> Generator[Chunk, None, None]:
        chunk = Chunk(self._empty_batch())
        for record in self._timed("read", self._reading.read(self._unit, self.tally)):
            if isinstance(record, Reject):
                self.rejects.append(record)
                continue
            chunk.add(record)
            chunk.last = len(chunk.batch.records) == self._batch_size
            if chunk.last or chunk.full():
                yield self._begun(chunk)
                chunk = Chunk(self._empty_batch() if chunk.last else chunk.batch)
        if chunk.batch.records:
            chunk.batch.pixels[len(chunk.batch.records) :] = 0
            chunk.last = True
            yield self._begun(chunk)

    def _timed(self, stage: str, items: Iterator[T]) -> Iterator[T]:
        while True:
            with self._clock(stage):
                item = next(items, None)
            if item is None:
                return
            yield item

    def _empty_batch(self) -> Batch:
        while True:
            with suppress(queue.Empty):
                return Batch(self._buffers.get(timeout=POLL_SECONDS))
            self._check_left()

    def _begun(self, chunk: Chunk) -> Chunk:
        while not self._encoded.acquire(timeout=POLL_SECONDS):
            self._check_left()
        if self._pool is not None:
            chunk.decoding = self._pool.submit(self._decode, chunk)
        return chunk

    def _check_left(self) -> None:
        """End the reading thread, wherever it waits, once nobody iterates any more."""
        if self._left.is_set():
            raise _LeftError

    def _decode(self, chunk: Chunk) -> None:
        try:
            with self._clock("decode", time.thread_time):
                for slot, record in chunk.items:
                    self._watch.begin()
                    self._decode_one(chunk.batch, slot, record)
            chunk.items.clear()
        finally:
            self._watch.end()
            self._encoded.release()

    def _decode_one(self, batch: Batch, slot: int, record: ImageRecord) -> None:
        try:
            self._refuse_poison(record)
            batch.sizes[slot] = load_image(record.data, self._transform, batch.pixels[slot], record.labels)
            if self._sha256:
                batch.sha256[slot] = hashlib.sha256(record.data).hexdigest()
        except ImageError as error:
            batch.pixels[slot] = 0
            digest = hashlib.sha256(record.data).hexdigest()
            batch.rejects.append(reject(record, error.stage, error.error, error.message, digest))

    def _refuse_poison(self, record: ImageRecord) -> None:
        poison = self._poison.get((record.shard, record.row))
        if poison and poison.sha256 == hashlib.sha256(record.data).hexdigest():
            raise ImageError("decode", poison.error, poison.message)


def reject(record: ImageRecord, stage: Any, error: str, message: str, sha256: str | None) -> Reject:
    """Make the reject of an image that was read."""
    return Reject(record.id, record.shard, record.row, stage, error, message, sha256)


def _without_bytes(record: ImageRecord) -> ImageRecord:
    return ImageRecord(record.id, record.shard, record.row, b"", record.labels)


class _LeftError(Exception):
    """Ends the reading of a unit that nobody wants any more."""
