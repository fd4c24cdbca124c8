"""For tests: replicas inside the test's own process, so that a kill can come at any publish, the replicas' included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.growing import assert_finished, contents, copied
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
            receipt = self._encoder.make(self._get_unit(unit))
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


def sweep_kills(
    act: Callable[[Path], Any],
    begun: Path,
    folder: Path,
    odd: bool,
    least: int,
    look: Callable[[Path], None],
    again: Callable[[Path], None],
) -> None:
    """Kill an act at every other of its steps; done again, it ends as it does undisturbed.

    Args:
        act: what is done to an output, of which copies are taken.
        begun: the output as it is before.
        folder: for the copies.
        odd: which steps.
        least: steps that there are more of.
        look: says what must hold right after a kill.
        again: does it again, as a user would.
    """
    quiet = copied(begun, folder / "quiet")
    with pytest.MonkeyPatch.context() as patch:
        kill = Kill(patch, None)
        act(quiet)
    assert_finished(quiet)
    assert kill.steps > least
    for step in kill.some_steps(odd):
        out = copied(begun, folder / f"killed{step}")
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            Kill(patch, step)
            act(out)
        look(out)
        again(out)
        assert contents(out) == contents(quiet), step
