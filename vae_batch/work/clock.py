"""Where the time of a unit goes, and how long one image is in hand."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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


class Watch:
    """Since when each thread has been decoding the image that it has in hand."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def begin(self) -> None:
        """Start on the next image; in the decoding thread."""
        self._since[threading.get_ident()] = time.monotonic()

    def end(self) -> None:
        """No image is in hand any more."""
        self._since.pop(threading.get_ident(), None)

    def seconds(self) -> float:
        """For how long the slowest image has been in hand; from any thread."""
        return time.monotonic() - min(self._since.copy().values(), default=time.monotonic())
