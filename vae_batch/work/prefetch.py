"""Running ahead: a generator in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.2
"""Between looks at whether somebody still wants what is made."""


def prefetch(items: Generator[T, None, None], depth: int, stop: threading.Event | None = None) -> Iterator[T]:
    """Run a generator in a thread, `depth` items ahead; its exception is raised here, and leaving here ends it.

    `stop` is set on leaving: a generator that may wait for this side looks at it.
    """
    waiting: queue.Queue[T | BaseException | None] = queue.Queue(depth)
    stop = stop or threading.Event()

    def put(item: T | BaseException | None) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=POLL_SECONDS)
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
