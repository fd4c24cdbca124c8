"""The pool: replicas that take units until none is left, whatever dies on the way."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from vae_batch.cluster import signals
from vae_batch.cluster.memory import Memory, low_memory
from vae_batch.cluster.quarantine import Quarantine
from vae_batch.cluster.replica import ReplicaInfo
from vae_batch.cluster.worker import Worker
from vae_batch.errors import ClusterError, DeviceMemoryError, NoResourcesError, UnitError, VaeBatchError
from vae_batch.types import Unit

PLACEMENT_SECONDS = 60.0
"""So long may it take until some replica has a place on the cluster, at the start and whenever all were lost."""

MAX_FAILURES = 3
"""A unit that raised this often fails the job."""

MAX_IDLE_DEATHS = 5
"""Replicas that may die in a row while starting; if others work, a place is given up then, else the job fails."""

REST_SECONDS = 2.0
"""A replica whose unit raised rests so long: what failed may be away for a moment."""

MAX_FAILURES_IN_A_ROW = 2
"""A replica that fails so often without a success between is replaced: it may be the one that is sick."""

TICK_SECONDS = 0.5

SILENT_SECONDS = 30.0
"""A busy process may take so long to answer; one that is silent for longer hangs, as an image does at its limit."""


class Pool:
    """Runs units on replicas.

    Args:
        spawn: starts a replica and gives its actor handle.
        size: replicas wanted.
        get_unit: gives a unit by its number.
        call: name of the replica's method that takes a unit.
        on_result: called with what the method gave for a unit.
        on_tick: called a few times a second.
        on_ready: called with the info of each replica that becomes ready.
        on_loss: called with a line for each replica that died.
        quarantine: counts the deaths, and says which units are to be examined.
        memory: says how many images at once are too many.
    """

    def __init__(
        self,
        spawn: Callable[[], Any],
        size: int,
        get_unit: Callable[[int], Unit],
        call: str = "process",
        on_result: Callable[[int, Any], None] = lambda unit, result: None,
        on_tick: Callable[[Pool], None] = lambda pool: None,
        on_ready: Callable[[ReplicaInfo], None] = lambda info: None,
        on_loss: Callable[[str], None] = lambda line: None,
        quarantine: Quarantine | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._spawn, self.size, self._get_unit, self._call = spawn, size, get_unit, call
        self._on_result, self._on_tick, self._on_ready, self._on_loss = on_result, on_tick, on_ready, on_loss
        self._quarantine, self._memory = quarantine or Quarantine(), memory or Memory()
        self._workers: list[Worker] = []
        self._refs: dict[Any, tuple[Worker, str, int]] = {}
        """Worker, call and unit (-1: none) of what is under way."""
        self._todo: deque[int] = deque()
        self._failures: Counter[int] = Counter()
        self._idle_deaths = 0
        self._last_tick = 0.0
        self._unplaced_since: float | None = None

    @property
    def alive(self) -> int:
        """Replicas that are ready."""
        return sum(w.info is not None for w in self._workers)

    def in_hand(self) -> tuple[int, int]:
        """Images done and rejects in units that are not finished."""
        current = [w.progress for w in self._workers if w.units and w.progress[0] in w.units]
        return sum(p[1] for p in current), sum(p[2] for p in current)

    def run(self, units: Sequence[int]) -> None:
        """Work until every unit has its result.

        Raises:
            NoResourcesError: no replica found a place, or one has not got what it was promised.
            UnitError, ClusterError: a unit or the replicas failed for good.
        """
        self._todo = deque(units)
        try:
            while self._todo or any(w.units for w in self._workers):
                signals.check()
                self._hire()
                self._hand_out()
                self._settle_some()
                self._tick()
        finally:
            for worker in self._workers:
                ray.kill(worker.handle)

    def _hire(self) -> None:
        wanted = min(self.size, len(self._todo) + sum(bool(w.units) for w in self._workers))
        while len(self._workers) < wanted:
            self._add()
        if any(w.placed for w in self._workers):
            self._unplaced_since = None
            return
        self._unplaced_since = self._unplaced_since or time.monotonic()
        if time.monotonic() - self._unplaced_since > PLACEMENT_SECONDS:
            raise NoResourcesError(
                f"no replica found a place on the cluster in {PLACEMENT_SECONDS:.0f} s: its CPUs or GPUs are taken "
                "by other work (see `ray status`); ask for less with --cpus-per-replica or --gpus-per-replica"
            )

    def _add(self, retries: int | None = None) -> None:
        worker = Worker(self._spawn(), retries)
        self._workers.append(worker)
        self._watch(worker, "place", worker.handle.place.remote())
        self._watch(worker, "setup", worker.handle.setup.remote(self._memory.most))

    def _hand_out(self) -> None:
        """One unit running and one queued per replica; but not of the last ones, nor those that must be alone."""
        for depth in (1, 2):
            for worker in self._workers:
                alone = any(map(self._quarantine.alone, worker.units))
                spare = depth == 1 or (len(self._todo) > len(self._workers) and not alone)
                if not self._todo or (depth == 2 and self._quarantine.alone(self._todo[0])):
                    return
                rests = worker.rests_until > time.monotonic()
                if spare and worker.info and not rests and len(worker.units) < depth:
                    self._give(worker, self._todo.popleft())

    def _give(self, worker: Worker, number: int) -> None:
        worker.units.append(number)
        unit = self._get_unit(number)
        if self._quarantine.suspects(number):
            self._watch(worker, "quarantine", self._quarantine.examine(worker.handle, unit), number)
        else:
            self._watch(worker, "unit", getattr(worker.handle, self._call).remote(unit, self._memory.most), number)

    def _watch(self, worker: Worker, what: str, ref: Any, unit: int = -1) -> None:
        self._refs[ref] = (worker, what, unit)

    def _settle_some(self) -> None:
        if not self._refs:  # all rest
            time.sleep(TICK_SECONDS / 5)
            return
        done, _ = ray.wait(list(self._refs), num_returns=1, timeout=TICK_SECONDS)
        if done:
            done, _ = ray.wait(list(self._refs), num_returns=len(self._refs), timeout=0)
        for ref in done:
            if ref in self._refs:  # not dropped with its worker a moment ago
                self._settle(ref)

    def _settle(self, ref: Any) -> None:
        worker, what, unit = self._refs.pop(ref)
        try:
            value = ray.get(ref)
        except RayTaskError as error:
            self._failed(worker, what, unit, error)
        except RayError as error:
            self._lost(worker, error)
        else:
            self._took(worker, what, unit, value)

    def _took(self, worker: Worker, what: str, unit: int, value: Any) -> None:
        if what == "place":
            worker.placed = True
        elif what == "setup":
            worker.info, worker.placed, self._idle_deaths = value, True, 0
            self._on_ready(value)
        elif what == "progress":
            worker.progress, worker.asked = value, None
        elif what == "quarantine":
            worker.units.remove(unit)
            self._quarantine.examined(unit, value)
            self._todo.appendleft(unit)
        else:
            worker.failures, worker.retries = 0, None
            worker.units.remove(unit)
            self._on_result(unit, value)

    def _failed(self, worker: Worker, what: str, unit: int, error: RayTaskError) -> None:
        """A method raised: our own errors end the job, others are tried again a few times."""
        cause = error.cause if isinstance(error.cause, Exception) else error
        if isinstance(cause, DeviceMemoryError):
            self._ran_out(worker, unit, cause)
            return
        if what not in ("unit", "quarantine"):
            raise (cause if isinstance(cause, VaeBatchError) else ClusterError(f"a replica did not start: {error}"))
        worker.units.remove(unit)
        self._failures[unit] += 1
        if isinstance(cause, VaeBatchError):
            raise cause
        if self._failures[unit] >= MAX_FAILURES:
            raise UnitError(
                f"unit {unit} failed {MAX_FAILURES} times, last with {type(cause).__name__}: {cause}. What was "
                "published stays; when the cause is mended, run the same command to go on (-v shows the traceback)"
            ) from error
        self._todo.append(unit)
        worker.failures, worker.rests_until = worker.failures + 1, time.monotonic() + REST_SECONDS
        if worker.failures >= MAX_FAILURES_IN_A_ROW:
            self._remove(worker, worker.obituary(f"failed {worker.failures} times in a row and was ended"))

    def _ran_out(self, worker: Worker, unit: int, error: DeviceMemoryError) -> None:
        """A fresh replica takes the place of one whose memory did not hold a batch, or the model."""
        self._remove(worker, worker.obituary("ran out of memory"))
        if error.batch_size is None:
            self._died_idle(str(error), error)
        else:
            self._go_on(worker, unit, error.batch_size, str(error))

    def _go_on(self, worker: Worker, unit: int, batch_size: int, why: str) -> None:
        """Start a replica that tries the same batch again, or smaller ones. Raises DeviceMemoryError at last."""
        same = self._memory.ran_out(unit, batch_size, worker.retries == batch_size, why)
        self._add(retries=batch_size if same else None)

    def _lost(self, worker: Worker, error: RayError) -> None:
        """A process or node died."""
        if worker.units and low_memory(error):
            self._starved(worker, str(error).partition("\n")[0])
            return
        self._remove(worker, worker.obituary())
        for unit in worker.units:
            self._quarantine.died(unit, str(error))
        if worker.info is None:
            what = f"{MAX_IDLE_DEATHS} replicas in a row died while starting. Ray says: {error}"
            self._died_idle(f"Ray says: {error}", ClusterError(what))

    def _starved(self, worker: Worker, why: str) -> None:
        """Ray killed a replica because its node ran low on memory: no image is to blame."""
        info = worker.info
        self._remove(worker, worker.obituary("was killed, since its node ran low on memory"))
        batch_size = min(info.batch_size, self._memory.most or info.batch_size) if info else 1
        if info and info.device == "cpu" and batch_size > self._memory.least:
            self._go_on(worker, worker.units[0], batch_size, why)
        elif worker.retries != batch_size:
            self._add(retries=batch_size)
        elif self.size > 1:
            self.size -= 1
            self._on_loss(f"Its place is given up, {self.size} are left. Ray says: {why}")
        else:
            self._quarantine.starved(worker.units[0], why)

    def _died_idle(self, why: str, error: ClusterError) -> None:
        """Give up the place of replicas that do not start; the last one's with this error."""
        self._idle_deaths += 1
        if self._idle_deaths < MAX_IDLE_DEATHS:
            return
        if not self.alive:
            raise error
        self._idle_deaths, self.size = 0, self.size - 1
        self._on_loss(
            f"{MAX_IDLE_DEATHS} replicas in a row died while starting: that place is given up, {self.size} are left. "
            f"{why}"
        )

    def _remove(self, worker: Worker, line: str) -> None:
        """Its units go back to the front, another replica takes its place."""
        ray.kill(worker.handle)  # an actor that is only unreachable must not come back
        self._workers.remove(worker)
        self._refs = {ref: item for ref, item in self._refs.items() if item[0] is not worker}
        self._todo.extendleft(reversed(worker.units))
        self._on_loss(line)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._last_tick < TICK_SECONDS:
            return
        self._last_tick = now
        for worker in self._workers:
            if worker.units and worker.asked is None:
                worker.asked = now
                self._watch(worker, "progress", worker.handle.progress.remote())
        self._end_hangs(now)
        self._on_tick(self)

    def _end_hangs(self, now: float) -> None:
        """Kill replicas that have been decoding one image, or have not answered, for too long."""
        limit = self._quarantine.hang_seconds
        if limit is None:
            return
        for worker in [w for w in self._workers if w.units]:
            silent = 0.0 if worker.asked is None else now - worker.asked
            if worker.progress[3] > limit or silent > max(limit, SILENT_SECONDS):
                self._remove(worker, worker.obituary(f"hung for more than {limit:g} s and was killed"))
                self._quarantine.hung(worker.progress[0] if worker.progress[0] in worker.units else worker.units[0])
