from __future__ import annotations

import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import image_bytes
from vae_batch.images import Transform, load_image
from vae_batch.sources import Reading
from vae_batch.types import Piece, Unit
from vae_batch.work.clock import Clock
from vae_batch.work.feed import Batch, Feed
from vae_batch.work.prefetch import prefetch


def empty() -> Batch:
    return Batch(np.zeros((1, 1, 1, 3), np.uint8))


def feed_of(folder: Path, names: list[str], batch_size: int, threads: int = 2) -> Feed:
    unit = Unit(0, (Piece(".", "folder", files=tuple(names)),), len(names), 0)
    pool = ThreadPoolExecutor(threads) if threads > 1 else None
    return Feed(Reading(str(folder)), unit, Transform(16), batch_size, pool, threads, Clock(), sha256=False)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_batches_hold_the_images_in_order_and_the_last_is_padded(tmp_path: Path, batch_size: int, threads: int) -> None:
    names = [f"{i:02}.jpg" for i in range(40)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(image_bytes(i) if i % 9 else b"rubbish")
    feed = feed_of(tmp_path, names, batch_size, threads)
    seen, rejects = [], []
    for batch in feed:
        assert batch.pixels.shape == (batch_size, 16, 16, 3)
        for slot, record in enumerate(batch.records):
            wanted = np.zeros((16, 16, 3), np.uint8)
            if slot in batch.sizes:
                assert batch.sizes[slot] == load_image((tmp_path / record.id).read_bytes(), Transform(16), wanted)
            np.testing.assert_array_equal(batch.pixels[slot], wanted)
            seen.append(record.id)
        assert not batch.pixels[len(batch.records) :].any()
        rejects += [r.id for r in batch.rejects]
    assert seen == names
    assert sorted(rejects) == names[::9]
    assert feed.tally.seen == 40


def test_a_source_that_fails_fails_the_unit(tmp_path: Path) -> None:
    def broken() -> Generator[Batch, None, None]:
        yield empty()
        raise OSError(5, "Input/output error")

    found = []
    with pytest.raises(OSError, match="Input/output error"):
        found.extend(prefetch(broken(), depth=2))


def test_leaving_early_ends_the_thread() -> None:
    ended = threading.Event()

    def endless() -> Generator[Batch, None, None]:
        try:
            while True:
                yield empty()
        finally:
            ended.set()

    items = prefetch(endless(), depth=2)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert ended.wait(5)


def test_prefetch_runs_ahead_by_its_depth_and_no_more() -> None:
    made = 0

    def counting() -> Generator[Batch, None, None]:
        nonlocal made
        for _ in range(20):
            made += 1
            yield empty()

    items = prefetch(counting(), depth=2)
    next(items)
    time.sleep(0.3)
    assert made <= 4
    assert len(list(items)) == 19


@pytest.mark.parametrize("threads", [1, 3])
def test_leaving_a_unit_early_ends_its_reading_thread_at_once(tmp_path: Path, threads: int) -> None:
    names = [f"{i:03}.jpg" for i in range(200)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(image_bytes(i))
    batches = iter(feed_of(tmp_path, names, 8, threads))
    next(batches)
    time.sleep(0.3)  # until the reader waits for a buffer
    begun = time.monotonic()
    batches.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 2
    assert not [thread for thread in threading.enumerate() if thread.name == "feed"]
