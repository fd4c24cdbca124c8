"""Quarantine: find the images of a unit that kill or hang the process that decodes them. No Ray in here."""

from __future__ import annotations

import contextlib
import json
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, replace

from vae_batch.latents.layout import Layout
from vae_batch.latents.quarantine import HANG, Poison, read_poison, write_poison
from vae_batch.types import Unit
from vae_batch.work.cell import Job, Order
from vae_batch.work.processes import end, start

CELL = "vae_batch.work.cell"

ALONE = 3
"""An image is poison when it kills or hangs a process of its own this often."""

MAX_STARTS = 5
"""Processes in a row that may die without an image in hand."""

KILLED = "killed from outside"

_FROM_OUTSIDE = {KILLED, "SIGTERM", "SIGINT", "SIGHUP"}
"""Ends that no decoder makes for itself."""

OUT_OF_MEMORY = "out of memory"


def examine(job: Job, unit: Unit, hang_seconds: float) -> list[Poison]:
    """Decode a unit's images in processes of their own, find those that are poison, and keep the finding in OUT.

    All images go through one process as long as it lives. What was in hand when it died, or for more than
    `hang_seconds`, is decoded alone: three deaths make it poison. If it passes, either somebody killed the process,
    or an image before it had spoiled it; that one is found by bisection, and must do it three times as well.

    Returns:
        What was found now; empty if the images do no harm (or none beyond what was known).

    Raises:
        RuntimeError: the source cannot be read, or the process dies of something else than an image.
    """
    with contextlib.closing(_Cell()) as cell:
        return _Examination(cell, job, unit, hang_seconds).run()


@dataclass(frozen=True, slots=True)
class _Death:
    """A process died of an image."""

    number: int
    """Of the image in hand, counted from the unit's first."""
    image: Poison
    """The image in hand, and what happened."""
    first: Poison
    """The first that this process decoded."""


class _Examination:
    def __init__(self, cell: _Cell, job: Job, unit: Unit, hang_seconds: float) -> None:
        self._cell = cell
        self._layout, self._known = Layout(job.out), read_poison(Layout(job.out), unit.number)
        self._order = Order(job, unit, range(0), (), hang_seconds)
        self._found: list[Poison] = []

    def run(self) -> list[Poison]:
        first = 0
        while death := self._decode(first, sys.maxsize):
            first, n = death.number + 1, death.number
            if self._repeated(n, n + 1):
                self._keep(death.image)
            elif self._decode(0, n + 1) and (spoiler := self._bisect(n)):  # else somebody killed it
                self._keep(spoiler)
                first = n
        return self._found

    def _decode(self, first: int, stop: int) -> _Death | None:
        """Decode these images in one process; None if it lives. Deaths of nothing in particular are tried again."""
        poison = (*self._known, *self._found)
        for _ in range(MAX_STARTS):
            trial = self._cell.run(replace(self._order, images=range(first, stop), poison=poison))
            how = trial.how
            if trial.done:
                return None
            if trial.in_hand and trial.first and how not in _FROM_OUTSIDE:
                return _Death(
                    first + trial.ended, replace(trial.in_hand, happened=how), replace(trial.first, happened=how)
                )
        raise RuntimeError(
            f"unit {self._order.unit.number} in quarantine: {MAX_STARTS} processes in a row ended while none of them "
            f"was decoding an image, the last {trial.where()} with {how}"
        )

    def _repeated(self, first: int, stop: int) -> _Death | None:
        """The last death if these images, and nothing else, kill so many processes in a row."""
        death = None
        for _ in range(ALONE):
            death = self._decode(first, stop)
            if death is None:
                return None
        return death

    def _bisect(self, n: int) -> Poison | None:
        """Find the image that spoils the process, so that image n dies behind it and lives without it."""
        low, high = 0, n
        while high - low > 1:  # dies from `low` on, lives from `high` on
            middle = (low + high) // 2
            low, high = (middle, high) if self._decode(middle, n + 1) else (low, middle)
        with_it = self._repeated(low, n + 1)
        without = any(self._decode(high, n + 1) for _ in range(ALONE))
        return None if without or with_it is None else with_it.first

    def _keep(self, image: Poison) -> None:
        self._found.append(image)
        write_poison(self._layout, self._order.unit.number, [*self._known, *self._found])


@dataclass(slots=True)
class _Trial:
    """How far one process came, and what became of it."""

    done: bool = False
    ended: int = 0
    """Images that did no harm."""
    in_hand: Poison | None = None
    first: Poison | None = None
    last: Poison | None = None
    how: str = ""
    """Name of a signal or another reason; empty as long as it is not over."""

    def take(self, line: str) -> None:
        """Note what the process said."""
        word, _, text = line.partition(" ")
        if word == "begin":
            self.in_hand = self.last = Poison(**json.loads(text), happened="")
            self.first = self.first or self.in_hand
        elif word == "end":
            self.in_hand, self.ended = None, self.ended + 1
        elif word == "memory":
            self.how = OUT_OF_MEMORY
        elif word == "failed":
            self.in_hand, self.how = None, text
        elif word == "done":
            self.done = True
        elif word == "over":
            self.how = self.how or _describe(int(text))

    def where(self) -> str:
        """Say how far it came, for a message."""
        return f"behind {self.last.id}" if self.last else "before the first"


class _Cell:
    """Runs trials, each in a process of its own; see `work.cell`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, order: Order) -> _Trial:
        """Have an order obeyed by a fresh process, and follow it to its end."""
        process = self._process = self._process or start(CELL, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin and process.stdout
        trial = _Trial()
        with contextlib.suppress(BrokenPipeError):  # it was killed; the next line says so
            pickle.dump(order, process.stdin)
            process.stdin.flush()
        for line in process.stdout:
            trial.take(line.decode().rstrip("\n"))
            if line.startswith(b"over"):
                return trial
        trial.how = KILLED
        self.close()
        return trial

    def close(self) -> None:
        """End the process and its fork."""
        if self._process:
            end(self._process)
            self._process = None


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return HANG if -code == signal.SIGALRM else signal.Signals(-code).name
