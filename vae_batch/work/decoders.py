"""Units decoded on all cores, in processes that an image may kill; it is found then, and left out."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from vae_batch import storage
from vae_batch.errors import UnitError, VaeBatchError
from vae_batch.types import Unit
from vae_batch.work import processes
from vae_batch.work.decoding import Decoded, Decoding, End, Order
from vae_batch.work.quarantine import examine

HANG_SECONDS = 120.0
"""An image that takes longer to decode hangs; as long as `encode` waits if not told otherwise."""

MAX_DEATHS = 5
"""A unit at which so many processes died, and in which no image does that alone, ends the work."""

MAX_FAILURES, REST_SECONDS = 3, 2.0
"""A unit is tried so often where its source cannot be read, with rests between."""

TICK_SECONDS = 0.25


class Decoders:
    """Processes that decode the units of a source, each into a file.

    Args:
        decoding: what it takes.
        count: how many processes.
        threads: in each of them.
    """

    def __init__(self, decoding: Decoding, count: int, threads: int = 1) -> None:
        self._decoding, self._count, self._threads = decoding, count, threads
        pairs = [socket.socketpair() for _ in range(count)]
        theirs = [pair[1].fileno() for pair in pairs]
        self._process = processes.start("vae_batch.work.decoder", *map(str, theirs), pass_fds=theirs)
        self._free: SimpleQueue[Connection] = SimpleQueue()
        for mine, other in pairs:
            other.close()
            self._free.put(Connection(mine.detach()))
        self._images: dict[int, int] = {}

    def run(
        self, units: Iterable[Unit], folder: Path, on_images: Callable[[int], object]
    ) -> Iterator[tuple[Path, Decoded]]:
        """Decode units; once, since the processes end with it.

        Args:
            units: as planned; not many more than there are processes are taken ahead.
            folder: for the files.
            on_images: called now and then with the number of images so far.

        Yields:
            The file of each unit's pixels, in order, which is the caller's to remove, and what is in it.

        Raises:
            UnitError: a unit cannot be decoded for good.
            OSError: the disk is full.
        """
        window: deque[Future[tuple[Path, Decoded]]] = deque()
        todo = iter(units)
        pool = ThreadPoolExecutor(self._count, "decoding")
        try:
            while True:
                while len(window) < 2 * self._count and (unit := next(todo, None)):
                    window.append(pool.submit(self._make, unit, folder / f"{unit.number:06d}.u8"))
                if not window:
                    return
                while not window[0].done():
                    wait([window[0]], TICK_SECONDS)
                    on_images(sum(self._images.copy().values()))
                yield window.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end(self._process)  # so that no thread waits for it
            pool.shutdown()

    def _make(self, unit: Unit, pixels: Path) -> tuple[Path, Decoded]:
        order = Order(self._decoding, unit, pixels, self._threads, HANG_SECONDS)
        deaths = failures = 0
        while True:
            end = self._obeyed(order)
            if end.code:
                deaths = self._examined(unit, end, deaths + 1)
                continue
            found = order.found()
            if isinstance(found, Decoded):
                return pixels, found
            failures += 1
            if isinstance(found, VaeBatchError) or storage.is_full(found):
                raise found
            if failures >= MAX_FAILURES:
                raise UnitError(f"unit {unit.number} failed {failures} times, last with {found!r}") from found
            time.sleep(REST_SECONDS)

    def _examined(self, unit: Unit, end: End, deaths: int) -> int:
        """Find what killed a process, to leave it out; give the number of deaths for which nothing was found."""
        if examine(self._decoding, unit, HANG_SECONDS):
            return 0
        if deaths < MAX_DEATHS:
            return deaths
        raise UnitError(
            f"unit {unit.number}: {deaths} processes died while they decoded it, the last with {end}, and none of its "
            "images does any harm when decoded alone"
        )

    def _obeyed(self, order: Order) -> End:
        """Have a process decode a unit, and follow it to its end."""
        connection = self._free.get()
        try:
            connection.send(order)
            while isinstance(news := connection.recv(), int):
                self._images[order.unit.number] = news
        except (EOFError, OSError) as error:
            raise UnitError("the processes that decode images were ended from outside: run again") from error
        self._free.put(connection)
        found: End = news
        return found
