"""Shards drawn side by side in processes of their own, which load neither torch nor ray."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

from vae_batch.errors import OutputError
from vae_batch.faces.shard import Shard

OnProgress = Callable[[int], None]
_REPORT_S = 0.2
_BROKEN = (
    "a drawing process ended early: killed (out of memory? try fewer workers), or write_faces was called by "
    "a script outside `if __name__ == '__main__':`"
)

_drawn: Synchronized[int]  # in a worker: faces drawn by all workers together
_stop: Event  # in a worker: set when the parent wants no more


class _StoppedError(Exception):
    """The parent gave up; what this worker was drawing is of no use."""


def draw_all(folder: Path, shards: Sequence[Shard], workers: int, on_progress: OnProgress | None) -> int:
    """Write every shard into `folder`, a whole shard to a process; gives the bytes written.

    Raises:
        OutputError: a process was killed.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of torch or ray
    drawn, stop = spawn.Value("q", 0), spawn.Event()
    pool = ProcessPoolExecutor(min(workers, len(shards)), spawn, _start_worker, (drawn, stop))
    try:
        with _deaf_to_ctrl_c():
            futures = [pool.submit(_draw, folder, shard) for shard in shards]
        _watch(futures, drawn, on_progress)
        return sum(future.result() for future in futures)
    except BrokenProcessPool as error:
        raise OutputError(_BROKEN) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started in here never see Ctrl-C, which a terminal sends to all: the parent decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(futures: Sequence[Future[int]], drawn: Synchronized[int], on_progress: OnProgress | None) -> None:
    """Wait for the end or the first failure, and report on the way."""
    pending: set[Future[int]] = set(futures)
    while pending and not any(future.done() and future.exception() for future in futures):
        _, pending = wait(pending, timeout=_REPORT_S)
        if on_progress:
            on_progress(drawn.value)


def _start_worker(drawn: Synchronized[int], stop: Event) -> None:
    global _drawn, _stop
    _drawn, _stop = drawn, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's worker would wait for ever for a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _draw(folder: Path, shard: Shard) -> int:
    return shard.write(folder, _count_face)


def _count_face() -> None:
    if _stop.is_set():
        raise _StoppedError
    with _drawn.get_lock():
        _drawn.value += 1
