"""Read and decode ahead of the model: a unit's images as batches of one shape, in order."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vae_batch.images import ImageError, Transform, load_image
from vae_batch.sources import read_unit
from vae_batch.types import ImageRecord, Reject, Tally, Unit

CHUNK_IMAGES, CHUNK_BYTES = 16, 8 << 20
"""Images that one decoding task takes; with the number of tasks in flight it bounds the memory in use."""


class Clock:
    """Seconds by stage, from several threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, stage: str, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
        """Count the time inside to a stage."""
        start = clock()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += clock() - start


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
    decoding: list[Future[None]] = field(default_factory=list)

    def slots(self) -> list[int]:
        """Slots that hold an image, in order."""
        return sorted(self.sizes)


class Feed:
    """Iterates over a unit's batches; reads in a thread of its own and decodes on a pool, or without one in there.

    On a single core a further thread would only add waiting for the interpreter's lock.
    """

    def __init__(
        self,
        root: str,
        unit: Unit,
        transform: Transform,
        batch_size: int,
        pool: ThreadPoolExecutor | None,
        threads: int,
        clock: Clock,
        sha256: bool,
    ) -> None:
        self.tally = Tally()
        self.rejects: list[Reject] = []
        """What the reader could not read."""
        self._root, self._unit, self._transform = root, unit, transform
        self._batch_size, self._pool, self._clock, self._sha256 = batch_size, pool, clock, sha256
        self._chunks = threading.Semaphore(2 * threads + 2)
        self._buffers: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Batch]:
        shape = (self._batch_size, self._transform.size, self._transform.size, 3)
        for _ in range(4):  # one filled, two waiting, one at the model
            self._buffers.put(np.zeros(shape, np.uint8))
        for batch in prefetch(self._batches(), depth=2):
            for task in batch.decoding:
                task.result()
            yield batch
            self._buffers.put(batch.pixels)

    def _batches(self) -> Generator[Batch, None, None]:
        batch, chunk = Batch(self._buffers.get()), _Chunk()
        for record in self._timed(read_unit(self._root, self._unit, self.tally)):
            if isinstance(record, Reject):
                self.rejects.append(record)
                continue
            chunk.add(len(batch.records), record)
            batch.records.append(_without_bytes(record))
            full = len(batch.records) == self._batch_size
            if full or chunk.full():
                self._submit(batch, chunk)
                chunk = _Chunk()
            if full:
                yield batch
                batch = Batch(self._buffers.get())
        if batch.records:
            self._submit(batch, chunk)
            batch.pixels[len(batch.records) :] = 0
            yield batch

    def _timed(self, records: Iterator[ImageRecord | Reject]) -> Iterator[ImageRecord | Reject]:
        while True:
            with self._clock("read"):
                record = next(records, None)
            if record is None:
                return
            yield record

    def _submit(self, batch: Batch, chunk: _Chunk) -> None:
        if not chunk.items:
            return
        self._chunks.acquire()
        if self._pool is None:
            self._decode(batch, chunk)
        else:
            batch.decoding.append(self._pool.submit(self._decode, batch, chunk))

    def _decode(self, batch: Batch, chunk: _Chunk) -> None:
        try:
            with self._clock("decode", time.thread_time):
                for slot, record in chunk.items:
                    self._decode_one(batch, slot, record)
        finally:
            self._chunks.release()

    def _decode_one(self, batch: Batch, slot: int, record: ImageRecord) -> None:
        try:
            batch.sizes[slot] = load_image(record.data, self._transform, batch.pixels[slot])
            if self._sha256:
                batch.sha256[slot] = hashlib.sha256(record.data).hexdigest()
        except ImageError as error:
            batch.pixels[slot] = 0
            digest = hashlib.sha256(record.data).hexdigest()
            batch.rejects.append(reject(record, error.stage, error.error, error.message, digest))


class _Chunk:
    """Images for one decoding task."""

    def __init__(self) -> None:
        self.items: list[tuple[int, ImageRecord]] = []
        self.bytes = 0

    def add(self, slot: int, record: ImageRecord) -> None:
        self.items.append((slot, record))
        self.bytes += len(record.data)

    def full(self) -> bool:
        return len(self.items) >= CHUNK_IMAGES or self.bytes >= CHUNK_BYTES


def reject(record: ImageRecord, stage: Any, error: str, message: str, sha256: str | None) -> Reject:
    """Make the reject of an image that was read."""
    return Reject(record.id, record.shard, record.row, stage, error, message, sha256)


def _without_bytes(record: ImageRecord) -> ImageRecord:
    return ImageRecord(record.id, record.shard, record.row, b"", record.labels)


def prefetch(items: Generator[Batch, None, None], depth: int) -> Iterator[Batch]:
    """Run a generator in a thread, `depth` items ahead; its exception is raised here, and leaving here ends it."""
    waiting: queue.Queue[Batch | BaseException | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def run() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)
        finally:
            items.close()

    thread = threading.Thread(target=run, name="feed", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join(timeout=5)
