"""For tests: replicas inside the test's own process, so that a kill can come at any publish, the replicas' included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vae_batch import storage
from vae_batch.cluster import connect, run
from vae_batch.cluster.connect import Cluster
from vae_batch.storage import publishing
from vae_batch.work.encode import UnitEncoder


class Killed(BaseException):
    """Nobody catches it, as nobody catches a SIGKILL."""


class InlinePool:
    """Stands in for the pool of Ray actors: one replica, here."""

    alive = 1

    def __init__(self, spawn: Callable[[], Any], get_unit: Callable[[int], Any], **calls: Any) -> None:
        self._encoder, self._get_unit, self._calls = spawn(), get_unit, calls

    def run(self, units: list[int]) -> None:
        for unit in units:
            receipt = self._encoder.encode(self._get_unit(unit))
            self._calls["on_result"](unit, receipt)
            self._calls["on_tick"](self)

    def in_hand(self) -> tuple[int, int]:
        return 0, 0


def replicas_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `encode` work without Ray, and save its progress at every unit."""
    encoders: dict[Any, UnitEncoder] = {}

    def spawn(job: Any, *_: Any) -> UnitEncoder:
        values = job.card.digest, job.precision, job.batch_size, job.schema.diagnostics, job.schema.scaling
        made = encoders.setdefault((job.model, *values), UnitEncoder(job, "cpu", 1))
        made.job = job
        return made

    @contextmanager
    def no_ray(*_: Any) -> Iterator[Cluster]:
        yield Cluster("no Ray", True, ({"CPU": 1.0},))

    monkeypatch.setattr(connect, "connect", no_ray)
    monkeypatch.setattr(run, "spawn", spawn)
    monkeypatch.setattr(run, "Pool", InlinePool)
    monkeypatch.setattr(run, "PROGRESS_FILE_SECONDS", -1.0)


class Kill:
    """From its n-th step on, a process publishes and removes nothing more; counts the steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int | None) -> None:
        self.at, self.steps = at, 0
        publish = self._or_killed(storage.publish)
        for module in (storage, publishing):
            monkeypatch.setattr(module, "publish", publish)
        monkeypatch.setattr(storage, "remove", self._or_killed(storage.remove, storage.exists))

    def some_steps(self, odd: bool) -> range:
        """Every other step that was counted: two tests take turns."""
        return range(int(odd), self.steps, 2)

    def _or_killed(self, act: Callable[..., None], counts: Callable[..., bool] | None = None) -> Callable[..., None]:
        def step(*arguments: Any, **options: Any) -> None:
            self.steps += counts is None or counts(arguments[0])
            if self.at is not None and self.steps > self.at:
                raise Killed
            act(*arguments, **options)

        return step
